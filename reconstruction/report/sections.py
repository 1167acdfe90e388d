"""The sections of the HTML report, each made from the inputs alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from knightshift.core.human_units import duration, local_and_utc, plain, quantity
from knightshift.reconstruction.region_words import region_words
from knightshift.reconstruction.relaxometry import T2Fit, T2Status
from knightshift.reconstruction.report.inputs import ReportInputs, RunFacts
from knightshift.reconstruction.report.markup import Markup, element, joined, table
from knightshift.reconstruction.report.night_section import night_sentence
from knightshift.reconstruction.report.protocol_table import protocol_rows
from knightshift.reconstruction.report.region_summary import RegionSummary
from knightshift.reconstruction.report.summary import Summary
from knightshift.reconstruction.t2_symbol import T2, in_symbol

_MS = 1e3
_Number = TypeVar("_Number", int, float)
_NOISE_SOURCES = {
    "given": "known before",
    "background": "from the background",
    "residuals": "from residuals",
}


def section(title: str, *content: str, anchor: str = "") -> Markup:
    """Make a section with a heading, and a name to link to where `anchor` gives one."""
    return element("section", element("h2", title), *content, **({"id": anchor} if anchor else {}))


def night_line(run: RunFacts) -> Markup:
    """Say how the night went, at the top, and where the page tells more."""
    return element("p", night_sentence(run), " ", element("a", "More about the night", href="#night"), class_="night")


def headline(summary: Summary, symbol: str = T2) -> Markup:
    """Say what was found: the dendrite and its T2 (by its `symbol`), or that there is none, or why there is no T2."""
    if summary.dendrite is None or not summary.regions:
        return element("div", element("strong", *_no_t2(summary, symbol)), class_="result")
    bulk = summary.regions[0]
    words = region_words(summary.nucleus)
    others = element("p", f"{words.bulk.capitalize()}: {_t2_words(bulk, symbol)}{_width_words(bulk)}.")
    dendrites = [region for region in summary.regions if region.role == words.isolated_role]
    if not dendrites:
        edge = summary.dendrite.bulk_edge_t2_s * _MS
        text = f"No region of voxels has a {symbol} significantly above that of the {words.bulk} (edge {edge:.1f} ms)."
        title = f"No {words.isolated} found" if words.of_cell else f"No isolated region of long {symbol} found"
        return element("div", element("strong", title), element("p", text), others, class_="result")
    pairs = zip(dendrites, summary.dendrite.significance, strict=True)
    found = [part for region, sigma in pairs for part in _region_words(region, sigma, summary, symbol)]
    one = "Dendrite found" if words.of_cell else f"One isolated region of long {symbol} found"
    title = one if len(dendrites) == 1 else f"{len(dendrites)} regions of long {symbol} found"
    return element("div", element("strong", title), *found, others, class_="result found")


def _region_words(region: RegionSummary, sigma: float, summary: Summary, symbol: str) -> tuple[Markup, Markup]:
    """Tell what an isolated region is: its T2; its place and size, how strong it is, how it compares with the bulk."""
    assert summary.dendrite is not None
    error = "" if region.median_over_bulk_std is None else f" ± {region.median_over_bulk_std:.2f}"
    ratio = "" if region.median_over_bulk is None else f"{region.median_over_bulk:.2f}{error} times the median of the "
    compared = f"{ratio}{region_words(summary.nucleus).bulk}" if ratio else ""
    ends = [(snr, time) for snr, time in zip(region.snr_per_echo, summary.echo_times_s, strict=True) if snr is not None]
    strength = ", ".join(f"{snr:.1f} at {quantity(time, 's', 4)}" for snr, time in dict.fromkeys((ends[0], ends[-1])))
    edge = f"{sigma:.0f} σ above the edge of their distribution ({summary.dendrite.bulk_edge_t2_s * _MS:.1f} ms)"
    return (
        element("p", f"{region.name.capitalize()}: {_t2_words(region, symbol)}{_pooled_words(region, symbol)}."),
        element("p", f"{_place_words(region)} Signal / noise {strength}. {compared}: {edge}."),
    )


def _no_t2(summary: Summary, symbol: str) -> tuple[str, ...]:
    if len(summary.echo_times_s) == 1:
        return (f"Images at one echo time: {symbol} needs several",)
    if summary.fit is None:
        return (f"Images at {len(summary.echo_times_s)} echo times, {symbol} not fitted",)
    known = sum(summary.fit.voxels_by_status[name] for name in ("ok", "one_sided"))
    return (f"{symbol} fitted, {known} voxels with a value; regions not looked for",)


def _t2_words(region: RegionSummary, symbol: str) -> str:
    error = "" if region.median_t2_std_s is None else f" ± {region.median_t2_std_s * _MS:.1f}"
    return f"{symbol} = {region.median_t2_s * _MS:.1f}{error} ms (median of {region.n_voxels} voxels)"


def _pooled_words(region: RegionSummary, symbol: str) -> str:
    if region.pooled_t2_s is None or region.pooled_interval_t2_s is None:
        return ""
    low, high = region.pooled_interval_t2_s
    end = "∞" if high is None else f"{high * _MS:.1f}"
    return f"; one {symbol} for all of them {region.pooled_t2_s * _MS:.1f} ms (95 %: {low * _MS:.1f} to {end} ms)"


def _width_words(region: RegionSummary) -> str:
    if region.fwhm_t2_s is None:
        return ""
    error = "" if region.fwhm_t2_std_s is None else f" ± {region.fwhm_t2_std_s * _MS:.1f}"
    return f", FWHM {region.fwhm_t2_s * _MS:.1f}{error} ms"


def _place_words(region: RegionSummary) -> str:
    if region.centroid_um is None or region.extent_um is None:
        return f"{_voxels(region)}."
    centre = ", ".join(f"{axis} = {_micrometres(region.centroid_um[axis])}" for axis in ("y", "z"))
    return f"Centred at {centre} µm, {_extent(region)} in extent, {_voxels(region)}."


def _extent(region: RegionSummary) -> str:
    if region.extent_um is None:
        return "n/a"
    return " × ".join(f"{_micrometres(size)} µm ({axis})" for axis, size in _in_plane(region.extent_um))


def _voxels(region: RegionSummary) -> str:
    return f"{' × '.join(str(count) for _, count in _in_plane(region.extent_voxels))} voxels"


def _in_plane(by_axis: Mapping[str, _Number]) -> list[tuple[str, _Number]]:
    return list(by_axis.items())[1:]  # the first is the slice, or the depth of a projection


def _micrometres(value: float) -> str:
    return plain(float(round(value)), 6)


def regions_table(summary: Summary, symbol: str = T2) -> Markup:
    """Tabulate the regions, and the signal over noise of each at every echo time."""
    median, centre = f"{symbol} median (ms)", "centre x, y, z (µm)"
    head = ("region", "voxels", median, "quartiles (ms)", "FWHM (ms)", centre, "extent", "in voxels")
    rows = [_region_row(region) for region in summary.regions]
    times = tuple(f"{quantity(echo_time, 's', 4)}" for echo_time in summary.echo_times_s)
    ratios = [(region.name, *(_ratio(snr) for snr in region.snr_per_echo)) for region in summary.regions]
    return joined(
        [
            table(head, rows),
            element("p", _numbers_meaning(summary), class_="note"),
            element("p", "Median signal over noise at each echo time:"),
            table(("region", *times), ratios),
        ]
    )


def _numbers_meaning(summary: Summary) -> str:
    """Say what a region with a number is, which is less than its name promises."""
    words = region_words(summary.nucleus)
    faces = " Each face of a plate may be one, and so may the ringing between faces: they do not count electrodes."
    return (
        f"{words.part.capitalize()} 1 and so on: large groups of touching voxels of the {words.bulk}, the one with "
        f"most voxels first.{faces * words.of_cell} {words.isolated.capitalize()}s come by falling significance."
    )


def _region_row(region: RegionSummary) -> tuple[str, ...]:
    low, high = region.iqr_t2_s
    centre = region.centroid_um
    place = "n/a" if centre is None else ", ".join(_micrometres(centre[axis]) for axis in ("x", "y", "z"))
    return (
        region.name,
        str(region.n_voxels),
        _with_error(region.median_t2_s, region.median_t2_std_s),
        f"{low * _MS:.1f} – {high * _MS:.1f}",
        _with_error(region.fwhm_t2_s, region.fwhm_t2_std_s),
        place,
        _extent(region),
        _voxels(region).removesuffix(" voxels"),
    )


def _with_error(value: float | None, error: float | None) -> str:
    if value is None:
        return "n/a"
    return f"{value * _MS:.2f}" + ("" if error is None else f" ± {error * _MS:.2f}")


def _ratio(snr: float | None) -> str:
    return "n/a" if snr is None else f"{snr:.1f}"


def fit_table(fit: T2Fit, symbol: str = T2) -> Markup:
    """Tabulate how many voxels have a T2, why others have none, and the noise."""
    rows = [
        (in_symbol(status.words, symbol), f"{fit.count(status)} voxels") for status in T2Status if fit.count(status)
    ]
    rows.append((f"noise σ, units of the images ({_NOISE_SOURCES[fit.noise_source]})", _noise_words(fit)))
    good = fit.ok & np.isfinite(fit.chi2)
    if good.any():
        parameters = 3 if fit.options.offset == "free" or fit.options.fit_b1 else 2
        freedom = len(fit.echo_times) - parameters
        rows.append((f"χ² per voxel, median ({freedom} degrees of freedom)", f"{float(np.median(fit.chi2[good])):.2f}"))
    return table((), rows)


def _noise_words(fit: T2Fit) -> str:
    """Tell the noise of each echo, or of all where they are alike within a percent."""
    mean = float(fit.noise_std.mean())
    if np.ptp(fit.noise_std) < 0.01 * mean:
        return f"{mean:.3g} at every echo time"
    pairs = zip(fit.noise_std, fit.echo_times, strict=True)
    return ", ".join(f"{float(sigma):.3g} at {quantity(float(time), 's', 4)}" for sigma, time in pairs)


def protocol_section(run: RunFacts) -> Markup:
    """Tabulate the protocol with units."""
    return section("Protocol", table((), protocol_rows(run.protocol)))


def run_section(run: RunFacts) -> Markup:
    """Tabulate how the run went, and which passes were lost to what."""
    rows = [
        ("run", run.run_id),
        ("scanner", run.scanner or "n/a"),
        *([("simulated sample", run.sample)] if run.sample else []),
        *([("seed", str(run.seed))] if run.seed is not None else []),
        ("passes", f"{run.passes_used} used of {run.passes_planned} planned, {len(run.rejected)} rejected"),
        ("start", _time(run.started, run.virtual_clock)),
        ("finish", _time(run.finished, run.virtual_clock)),
        ("duration", "n/a" if run.duration is None else _share(run)),
        ("interruptions", _resumes(run.resumes)),
    ]
    return section("Run", table((), rows))


def _time(seconds: float | None, virtual_clock: bool) -> str:
    if seconds is None:
        return "n/a"
    return local_and_utc(seconds) + (", virtual clock" if virtual_clock else "")


def _share(run: RunFacts) -> str:
    whole = run.duration or 0.0
    if whole <= 0:
        return duration(whole)
    return f"{duration(whole)}, of which {100 * run.acquiring / whole:.1f} % within passes"


def _resumes(count: int) -> str:
    return {0: "none", 1: "1, resumed"}.get(count, f"{count}, each resumed")


def sources_section(inputs: ReportInputs, summary: Summary) -> Markup:
    """Tabulate versions and checksums: what ties this page to its data."""
    rows: list[tuple[str, str]] = [("report by knightshift", summary.knightshift_version)]
    if inputs.run is not None:
        rows += [(f"acquired with {name}", version) for name, version in inputs.run.versions.items()]
    told = () if inputs.run is None else ("version_", "programs")  # by the manifest of the run
    rows += [
        (name.replace("_", " "), value)
        for name, value in inputs.series.provenance.items()
        if value and not name.startswith(told)
    ]
    checksums = {"complex images": summary.images_sha256, **({} if inputs.run is None else inputs.run.digests)}
    rows += [(f"SHA-256 of {name}", element("code", digest)) for name, digest in checksums.items()]
    missing = [element("p", f"Left open by the raw data: {'; '.join(inputs.series.missing)}.", class_="note")]
    return section("Versions and checksums", table((), rows), *(missing if inputs.series.missing else []))
