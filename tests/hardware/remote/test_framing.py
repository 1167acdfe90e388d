"""COBS, CRC-32 and the bodies of messages: what is written is read, and nothing else is believed."""

from __future__ import annotations

import contextlib
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knightshift.core import errors
from knightshift.core.errors import KnightshiftError, ScannerFault
from knightshift.core.passes import COUNTERS, Readout
from knightshift.hardware.remote.framing import (
    MAX_PAYLOAD,
    Deframer,
    Frame,
    FrameKind,
    cobs_decode,
    cobs_encode,
    decode_frame,
    encode_frame,
)
from knightshift.hardware.remote.handshake import Challenge, Hello, Welcome, decode_message, is_proof, proof_of
from knightshift.hardware.remote.messages import (
    MAX_RAW,
    MalformedMessageError,
    Request,
    decode_body,
    decode_reply,
    decode_request,
    encode_body,
)
from knightshift.hardware.remote.readout_records import (
    Demand,
    Record,
    cut_into_parts,
    decode_demand,
    decode_part,
    decode_record,
    encode_demand,
    encode_record,
)
from knightshift.hardware.remote.typed_errors import FAULTS, PLAIN, error_from_wire, error_to_wire

FRAMES = st.builds(
    Frame,
    st.sampled_from(list(FrameKind)).map(int),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=600),
)


@pytest.mark.parametrize(
    ("plain", "stuffed"),
    [
        ("00", "01 01"),
        ("00 00", "01 01 01"),
        ("00 11 00", "01 02 11 01"),
        ("11 22 00 33", "03 11 22 02 33"),
        ("11 22 33 44", "05 11 22 33 44"),
        ("11 00 00 00", "02 11 01 01 01"),
        ("", "01"),
    ],
)
def test_cobs_gives_the_published_examples(plain: str, stuffed: str) -> None:
    assert cobs_encode(bytes.fromhex(plain)) == bytes.fromhex(stuffed)
    assert cobs_decode(bytes.fromhex(stuffed)) == bytes.fromhex(plain)


def test_cobs_at_the_edge_of_a_full_block() -> None:
    ramp = bytes(range(1, 255))
    assert cobs_encode(ramp) == b"\xff" + ramp
    assert cobs_encode(b"\0" + ramp) == b"\x01\xff" + ramp
    assert cobs_encode(ramp + b"\xff") == b"\xff" + ramp + b"\x02\xff"
    assert cobs_encode(ramp + b"\0") == b"\xff" + ramp + b"\x01\x01"


@given(st.one_of(st.binary(max_size=2000), st.binary(max_size=8).map(lambda piece: piece * 200)))
def test_cobs_round_trip_has_no_zero_and_one_byte_in_254_of_overhead(plain: bytes) -> None:
    stuffed = cobs_encode(plain)
    assert 0 not in stuffed
    assert len(stuffed) <= len(plain) + len(plain) // 254 + 1
    assert cobs_decode(stuffed) == plain


@given(FRAMES)
def test_a_frame_comes_back_as_it_was(frame: Frame) -> None:
    encoded = encode_frame(frame)
    assert encoded.endswith(b"\0")
    assert encoded.count(b"\0") == 1
    assert decode_frame(encoded[:-1]) == frame


@given(frame=FRAMES, place=st.integers(0, 10_000), change=st.integers(1, 255))
def test_one_changed_byte_never_gives_another_frame(frame: Frame, place: int, change: int) -> None:
    encoded = bytearray(encode_frame(frame))
    encoded[place % len(encoded)] ^= change
    assert Deframer().feed(bytes(encoded) + b"\0") in ([], [frame])  # [frame]: only the closing zero was hit twice


@given(frames=st.lists(FRAMES, max_size=5), sizes=st.lists(st.integers(1, 200), min_size=1, max_size=50))
def test_frames_are_found_however_the_stream_is_cut(frames: list[Frame], sizes: list[int]) -> None:
    stream, deframer, found, position = b"".join(map(encode_frame, frames)), Deframer(), [], 0
    for number in range(len(stream)):
        size = sizes[number % len(sizes)]
        found += deframer.feed(stream[position : position + size])
        position += size
    assert found == frames
    assert deframer.dropped == 0


@given(noise=st.binary(max_size=500), frame=FRAMES)
def test_a_frame_after_noise_and_a_zero_is_found(noise: bytes, frame: Frame) -> None:
    assert Deframer().feed(noise + b"\0" + encode_frame(frame)) == [frame]


def test_endless_noise_without_a_zero_takes_no_memory() -> None:
    deframer = Deframer()
    for _ in range(1000):
        assert deframer.feed(b"\x07" * 65_536) == []
        assert len(deframer._pending) <= 2 * MAX_PAYLOAD
    frame = Frame(FrameKind.HEARTBEAT, 1, 2, b"alive")
    assert deframer.feed(b"\0" + encode_frame(frame)) == [frame]
    assert deframer.dropped == 1


def test_a_payload_beyond_the_bound_is_refused_on_both_sides() -> None:
    with pytest.raises(ValueError, match="longer"):
        encode_frame(Frame(1, 0, 0, bytes(MAX_PAYLOAD + 1)))
    assert decode_frame(b"\x02\x01" * 20) is None


READOUT = Readout(np.ones((), COUNTERS), np.array([[1 + 2j, -0.0j, np.inf]], np.complex64), True)
DECODERS = [
    decode_body,
    decode_request,
    decode_reply,
    decode_record,
    decode_part,
    decode_demand,
    lambda payload: decode_message(Hello, payload),
    lambda payload: decode_message(Challenge, payload),
    lambda payload: decode_message(Welcome, payload),
]
EXAMPLES = [
    encode_body(Request(command="start", arguments={"pass_index": 3, "epoch": 0}).model_dump()),
    encode_body({"command": "status", "value": {"state": "idle"}, "clock": 1.5}),
    encode_body({"client_nonce": "0" * 32, "server_nonce": "1" * 32, "token_needed": True}),
    encode_record(Record(READOUT, None, 12.5)),
    encode_record(Record(None, ScannerFault("gone"), None)),
    next(cut_into_parts(7, encode_record(Record(READOUT)))),
    encode_demand(Demand(7, 3, 5, None)),
]


@given(noise=st.binary(max_size=300))
@pytest.mark.parametrize("decode", DECODERS)
def test_random_bytes_are_read_or_refused_but_nothing_else(decode, noise: bytes) -> None:
    with contextlib.suppress(MalformedMessageError):
        decode(noise)


@pytest.mark.parametrize("decode", DECODERS)
def test_mutated_messages_are_read_or_refused_but_nothing_else(decode) -> None:
    generator = random.Random(3)
    for _ in range(3000):
        message = bytearray(generator.choice(EXAMPLES))
        for _ in range(generator.randint(1, 3)):
            message[generator.randrange(len(message))] = generator.randrange(256)
        cut = generator.choice([len(message), generator.randrange(len(message))])
        with contextlib.suppress(MalformedMessageError):
            decode(bytes(message[:cut]))


@pytest.mark.parametrize(
    "text", ["[" * 5000, "NaN", '{"clock": NaN}', '{"a": 1' + "0" * 5000 + "}", '{"command": 3}', "[]", "\ud800"]
)
def test_hostile_json_is_refused(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    with pytest.raises(MalformedMessageError):
        decode_request(len(raw).to_bytes(4, "little") + raw)


@given(
    samples=st.integers(0, 40),
    channels=st.integers(1, 3),
    overrange=st.booleans(),
    clock=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_readout_crosses_the_wire_to_the_bit(samples, channels, overrange, clock, seed) -> None:
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 2**32, (channels, samples, 2), np.uint32).view(np.float32)
    counters = np.frombuffer(generator.bytes(COUNTERS.itemsize), COUNTERS)[0]
    readout = Readout(np.asarray(counters), values.view(np.complex64)[..., 0], overrange)
    back = decode_record(encode_record(Record(readout, None, clock)))
    assert back.clock == clock
    assert back.readout is not None
    assert back.readout.samples.tobytes() == readout.samples.tobytes()
    assert back.readout.samples.shape == readout.samples.shape
    assert back.readout.counters == counters
    assert back.readout.overrange is overrange


def test_a_record_is_cut_into_parts_of_bounded_size() -> None:
    record = bytes(range(256)) * 100
    parts = [decode_part(payload) for payload in cut_into_parts(3, record)]
    assert b"".join(part.content for part in parts) == record
    assert max(len(part.content) for part in parts) == MAX_RAW
    assert [part.is_last for part in parts] == [False] * (len(parts) - 1) + [True]


@pytest.mark.parametrize("name", FAULTS)
def test_faults_cross_the_wire_with_all_they_say(name: str) -> None:
    fault = FAULTS[name]("what, where, how much", "coil 3", True, True)
    back = error_from_wire(error_to_wire(fault))
    assert type(back) is type(fault)
    assert back.args == fault.args


@pytest.mark.parametrize("name", PLAIN)
def test_other_errors_cross_the_wire_with_their_message(name: str) -> None:
    back = error_from_wire(error_to_wire(PLAIN[name]("what to do")))
    assert type(back) is PLAIN[name]
    assert str(back) == "what to do"


def test_every_fault_of_the_tree_has_its_name_in_the_table() -> None:
    tree = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, ScannerFault)}
    assert tree == set(FAULTS)


def test_an_error_that_is_not_in_the_table_goes_by_its_ancestor_and_an_unknown_name_is_a_fault() -> None:
    class OurLimitError(errors.LimitError):
        pass

    assert type(error_from_wire(error_to_wire(OurLimitError("x")))) is errors.LimitError
    assert type(error_from_wire(error_to_wire(KeyError("x")))) is ScannerFault
    for fields in ({"name": "SystemExit", "message": "x"}, {"name": 3}, {}):
        assert type(error_from_wire(fields)) is ScannerFault
    damaged = error_from_wire(error_to_wire(errors.DamagedDataError("f", "g", "h")))
    assert isinstance(damaged, KnightshiftError)
    assert "DamagedDataError" in str(damaged)


def test_a_proof_needs_the_token_both_nonces_and_the_right_side() -> None:
    good = proof_of("client", b"secret", "a" * 32, "b" * 32)
    assert is_proof(good, good)
    assert len(good) == 64
    others = [
        proof_of("server", b"secret", "a" * 32, "b" * 32),
        proof_of("client", b"secreT", "a" * 32, "b" * 32),
        proof_of("client", b"secret", "b" * 32, "a" * 32),
        "",
    ]
    assert not any(is_proof(other, good) for other in others)
