"""`acquire` on a site with monitors: the pre-flight is printed, and refuses with the exit code of its failure."""

from __future__ import annotations

from pathlib import Path

from knightshift.core.run_folder import open_run

from .conftest import Cli

SITE = """\
backend: simulated
limits: microimaging_9t4
settings:
  receiver: {sensitivity: 0.1, noise_density: 1.05e-5}
  isochromats: {depth_nodes: 2, frequencies: 1}
monitoring: emulated
preflight:
  boil_off: {cryostat.helium: "BOIL_OFF", cryostat.nitrogen: "1 %/h"}
"""


def acquire(cli: Cli, protocol: Path, folder: Path, boil_off: str) -> tuple[int, str, str]:
    site = folder / "site.yaml"
    site.write_text(SITE.replace("BOIL_OFF", boil_off))
    result = cli("acquire", protocol, "--scanner", site, "--runs", folder / "runs", "--virtual-clock", "--seed", 1)
    return result.returncode, " ".join(result.stdout.split()), result.stderr


def test_the_pre_flight_is_printed_and_the_readings_are_kept(cli: Cli, protocol: Path, tmp_path: Path) -> None:
    code, out, err = acquire(cli, protocol, tmp_path, "0.3 %/h")
    assert code == 0, err
    for word in ("scanner", "limits", "nucleus", "monitors", "levels", "disk", "clock", "lock", "62.3 %"):
        assert word in out.partition("completed")[0]
    (path,) = (tmp_path / "runs").iterdir()
    committed = [event for event in open_run(path).events() if event.event == "committed"]
    assert len(committed) == 12
    assert all(event.payload["readings"]["cryostat.helium"]["value"] == 0.623 for event in committed)


def test_helium_that_does_not_last_is_refused(cli: Cli, protocol: Path, tmp_path: Path) -> None:
    """The meter in slow mode may be an hour late: 62.3 % then is 12 % now at 50 %/h."""
    code, _, err = acquire(cli, protocol, tmp_path, "50 %/h")
    assert code == 3
    assert "cryostat.helium" in err
    assert "refill before you begin" in err
    assert "Traceback" not in err
    assert list((tmp_path / "runs").iterdir()) == []
