"""Relaxation times and their uncertainties from series of images."""

from knightshift.reconstruction.relaxometry.cramer_rao import cramer_rao_t2
from knightshift.reconstruction.relaxometry.denoise import denoise, denoise_series
from knightshift.reconstruction.relaxometry.distribution import DistributionOptions, T2Distribution, t2_distribution
from knightshift.reconstruction.relaxometry.epg import cpmg_echoes
from knightshift.reconstruction.relaxometry.fit import fit_series, fit_t2, fit_t2_maps, signal_mask, with_train
from knightshift.reconstruction.relaxometry.histogram import T2Histogram, t2_histogram
from knightshift.reconstruction.relaxometry.intervals import t2_interval
from knightshift.reconstruction.relaxometry.model_comparison import (
    ModelVerdict,
    RicherFit,
    RicherModel,
    fit_richer_model,
)
from knightshift.reconstruction.relaxometry.noise import estimate_noise
from knightshift.reconstruction.relaxometry.options import T2Options
from knightshift.reconstruction.relaxometry.pooled import PooledT2, bootstrap_t2_std, pool_populations, pool_region
from knightshift.reconstruction.relaxometry.populations import PopulationOptions, Populations, find_populations
from knightshift.reconstruction.relaxometry.regions import RegionStatistics, region_statistics
from knightshift.reconstruction.relaxometry.result import T2Fit, T2Status
from knightshift.reconstruction.relaxometry.rician import rician_information, rician_mean
from knightshift.reconstruction.relaxometry.train import EchoTrain, train_of
from knightshift.reconstruction.relaxometry.train_maps import fit_train_and_b1, fit_train_with_maps
from knightshift.reconstruction.relaxometry.train_marginal import MarginalFit, fit_train_marginal
from knightshift.reconstruction.relaxometry.voxel_trains import VoxelTrains

__all__ = [
    "DistributionOptions",
    "EchoTrain",
    "MarginalFit",
    "ModelVerdict",
    "PooledT2",
    "PopulationOptions",
    "Populations",
    "RegionStatistics",
    "RicherFit",
    "RicherModel",
    "T2Distribution",
    "T2Fit",
    "T2Histogram",
    "T2Options",
    "T2Status",
    "VoxelTrains",
    "bootstrap_t2_std",
    "cpmg_echoes",
    "cramer_rao_t2",
    "denoise",
    "denoise_series",
    "estimate_noise",
    "find_populations",
    "fit_richer_model",
    "fit_series",
    "fit_t2",
    "fit_t2_maps",
    "fit_train_and_b1",
    "fit_train_marginal",
    "fit_train_with_maps",
    "pool_populations",
    "pool_region",
    "region_statistics",
    "rician_information",
    "rician_mean",
    "signal_mask",
    "t2_distribution",
    "t2_histogram",
    "t2_interval",
    "train_of",
    "with_train",
]
