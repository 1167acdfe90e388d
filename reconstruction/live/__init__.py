"""Images and their quality while a run goes on: sums that grow pass by pass, regions, and how good a region is."""

from knightshift.reconstruction.live.quality import RegionQuality, snr_of_region, t2_std_of_region
from knightshift.reconstruction.live.running_sum import RunningSum
from knightshift.reconstruction.live.snr_growth import SnrGrowth
from knightshift.reconstruction.live.voxels import voxels_in_box, voxels_of_mask

__all__ = [
    "RegionQuality",
    "RunningSum",
    "SnrGrowth",
    "snr_of_region",
    "t2_std_of_region",
    "voxels_in_box",
    "voxels_of_mask",
]
