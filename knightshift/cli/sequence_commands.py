"""The commands for Pulseq files, and the one that serves a scanner. What they do is in the modules beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_Scanner = Annotated[
    str, typer.Option("--scanner", metavar="SCANNER", help="A site file, or the name of a shipped scanner.")
]
_Phantom = Annotated[
    str | None,
    typer.Option("--phantom", metavar="PHANTOM", help="Sample in the simulated scanner: a file, pristine or shorted."),
]


def export_seq(
    protocol: Annotated[
        str, typer.Argument(metavar="PROTOCOL", help="A YAML file, or the name of a shipped protocol (overnight_t2).")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.seq", help="The Pulseq file to write.")],
    scanner: _Scanner = "simulated",
    pulseq_version: Annotated[
        str, typer.Option("--pulseq-version", metavar="1.4|1.5", help="Form of the file; 1.4 is what older tools read.")
    ] = "1.5",
) -> None:
    """Write the pass of a protocol as Pulseq; a stepped echo time gives one file a step."""
    from knightshift.cli.planning import write_sequences

    write_sequences(protocol, scanner, output, pulseq_version)


def play(  # noqa: PLR0913, PLR0917 - the options of a command
    file: Annotated[Path, typer.Argument(metavar="FILE.seq", help="A Pulseq file, 1.4 or 1.5, ours or another's.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the results; created if needed.")
    ],
    phantom: _Phantom = None,
    nucleus: Annotated[
        str | None, typer.Option("--nucleus", metavar="NUCLEUS", help="Nucleus, if the file does not say it (23Na).")
    ] = None,
    b0: Annotated[
        str | None, typer.Option("--b0", metavar="FIELD", help='Field, if the file does not say it ("9.4 T").')
    ] = None,
    shift: Annotated[
        str | None, typer.Option("--shift", metavar="SHIFT", help='Where the scanner is tuned to ("1126 ppm").')
    ] = None,
    scanner: _Scanner = "simulated",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the simulated noise.")] = 0,
    noise: Annotated[bool, typer.Option("--noise/--no-noise", help="Whether the receiver has noise.")] = True,
) -> None:
    """Play any Pulseq file once on the simulated scanner: samples as HDF5, and a figure of their magnitude."""
    from knightshift.cli.playing import PlayChoices, play_file

    play_file(file, output, PlayChoices(scanner, phantom, nucleus, b0, shift, seed, noise))


def serve_scanner(
    line: Annotated[
        str, typer.Argument(metavar="LINE", help="A TCP port (on loopback), tcp://host:port, or a serial port.")
    ],
    scanner: _Scanner = "simulated",
    phantom: _Phantom = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of the simulated noise.")] = None,
    virtual_clock: Annotated[
        bool, typer.Option("--virtual-clock", help="Let simulated time jump; the client's clock follows.")
    ] = False,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", help="Shared secret, or set KNIGHTSHIFT_SCANNER_TOKEN."),
    ] = None,
) -> None:
    """Serve the scanner of this machine to a pipeline on another; if the link dies it is made safe."""
    from knightshift.cli.serving import serve_scanner as serve_until_stopped

    serve_until_stopped(
        line, scanner=scanner, phantom=phantom, seed=seed, virtual_clock=virtual_clock, token_file=token_file
    )


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("export-seq", epilog="Example: knightshift export-seq overnight_t2 -o overnight_t2.seq")(export_seq)
    played = 'knightshift play theirs.seq --nucleus 23Na --b0 "9.4 T" --phantom pristine -o played'
    app.command(epilog=f"Example: {played}")(play)
    app.command("serve-scanner", epilog="Example: knightshift serve-scanner 7777 --token-file token.txt")(serve_scanner)
