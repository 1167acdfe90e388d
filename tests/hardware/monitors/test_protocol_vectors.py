"""Questions and answers from manuals, and as logged from real instruments."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from knightshift.core.clock import VirtualClock
from knightshift.core.errors import GarbledReplyFault, LinkFault, WrongReplyFault
from knightshift.hardware.monitors import LinkSettings, Severity, Transport
from knightshift.hardware.monitors.emulated import (
    EmulatedEurotherm,
    EmulatedIlm,
    EmulatedJulabo,
    EmulatedLine,
    EmulatedModbus,
    plug_in,
    unplug_all,
)
from knightshift.hardware.monitors.emulated.devices import IlmChannel, crc16
from knightshift.hardware.monitors.eurotherm_bisynch import (
    EurothermBisynch,
    EurothermSettings,
    check_character,
    parse_answer,
    parse_number,
    question,
)
from knightshift.hardware.monitors.julabo_chiller import ChillerSettings, JulaboChiller, parse_temperature, severity_of
from knightshift.hardware.monitors.julabo_chiller import parse_status as parse_chiller_status
from knightshift.hardware.monitors.modbus_temperature import ModbusRegister, ModbusSettings, ModbusTemperature
from knightshift.hardware.monitors.oxford_ilm import IlmSettings, OxfordIlm, parse_level, parse_status

CLOCK = VirtualClock()


@pytest.fixture(autouse=True)
def _no_devices_left() -> Iterator[None]:
    yield
    unplug_all()


def _link(device: object, name: str) -> Transport:
    url = f"sim://{name}/vector"
    plug_in(url, EmulatedLine(device))  # type: ignore[arg-type]
    return Transport(LinkSettings(port=url), name)


# --- ISOBUS -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "level"), [(b"R623\r", 0.623), (b"R0\r", 0.0), (b"R1000\r", 1.0), (b"R-12\r", -0.012)]
)
def test_isobus_levels_are_in_tenths_of_a_percent(answer: bytes, level: float) -> None:
    assert parse_level(answer) == pytest.approx(level)


def test_isobus_status_has_use_and_flags_of_each_channel() -> None:
    """``XabcSuuvvwwRzz`` with channel 1 helium, slow and low; channel 2 nitrogen in alarm; channel 3 not plugged in."""
    answer = b"X219S244000R86\r"
    helium, nitrogen, broken = (parse_status(answer, channel) for channel in (1, 2, 3))
    assert (helium.use, helium.fast, helium.low, helium.alarm) == (2, False, True, False)
    assert helium.severity()[0] is Severity.WARNING
    assert nitrogen.severity()[0] is Severity.ALARM
    assert broken.severity()[0] is Severity.INVALID


@pytest.mark.parametrize("answer", [b"R9999\r", b"R\r", b"R6 3\r", b"R62.3\r", b"R623"])
def test_isobus_impossible_levels_are_garbled(answer: bytes) -> None:
    with pytest.raises(GarbledReplyFault):
        parse_level(answer)


def test_isobus_another_letter_is_the_answer_to_another_question() -> None:
    with pytest.raises(WrongReplyFault):
        parse_level(b"X210S040000R00\r")
    with pytest.raises(WrongReplyFault):
        parse_status(b"R623\r", 1)


def test_isobus_only_the_addressed_instrument_answers() -> None:
    meter = EmulatedIlm(address=6)
    assert meter.feed(b"@5R1\r@6R1\r$R1\r") == [b"R623\r"]
    assert meter.feed(b"@6Z9\r") == [b"?Z9\r"]


def test_a_helium_level_in_slow_mode_may_be_an_hour_old_and_one_in_fast_mode_ten_seconds() -> None:
    device = EmulatedIlm()
    meter = OxfordIlm(_link(device, "oxford_ilm"), CLOCK, IlmSettings(address=6))
    helium, nitrogen = meter.read()
    assert helium.age(CLOCK.now()) == pytest.approx(3600)
    assert nitrogen.age(CLOCK.now()) == 0
    device.channels[1].flags = 0x02
    assert meter.read()[0].age(CLOCK.now()) == pytest.approx(10)


def test_a_probe_that_is_not_plugged_in_gives_no_value() -> None:
    device = EmulatedIlm(channels={1: IlmChannel(0.5, use=9)})
    (reading,) = OxfordIlm(_link(device, "oxford_ilm"), CLOCK, IlmSettings(address=6, channels={"helium": 1})).read()
    assert math.isnan(reading.value)
    assert reading.severity is Severity.INVALID
    assert "probe" in reading.problem


def test_the_level_meter_says_who_it_is() -> None:
    assert OxfordIlm(_link(EmulatedIlm(), "oxford_ilm"), CLOCK, IlmSettings(address=6)).version().startswith("ILM200")


def test_a_wrong_address_is_a_fault_that_says_nothing_came() -> None:
    meter = OxfordIlm(_link(EmulatedIlm(address=6), "oxford_ilm"), CLOCK, IlmSettings(address=5))
    with pytest.raises(LinkFault, match="nothing came"):
        meter.read()


# --- EI-BISYNCH ---------------------------------------------------------------------------------------------------


def test_bisynch_question_repeats_both_digits_of_the_address() -> None:
    """Series 2000 handbook: instrument 1 is asked for PV by EOT 0011PV ENQ, instrument 12 by 1122; a BVT by 0000."""
    assert question(1, "PV") == b"\x040011PV\x05"
    assert question(12, "PV") == b"\x041122PV\x05"
    assert question(0, "PV") == b"\x040000PV\x05"
    assert question(1, "1PV") == b"\x0400111PV\x05"


@pytest.mark.parametrize(
    ("answer", "celsius"),
    [
        (b"\x02PV279.8\x03/", 279.8),  # logged from a 2408
        (b"\x02PV16.4\x03\x18", 16.4),  # example of the handbook, check character by hand
    ],
)
def test_bisynch_answers_of_real_instruments(answer: bytes, celsius: float) -> None:
    assert check_character(answer[1:-1]) == answer[-1]
    assert parse_number(parse_answer(answer, "PV")) == celsius


def test_bisynch_answer_with_another_mnemonic_is_the_answer_to_another_question() -> None:
    with pytest.raises(WrongReplyFault):
        parse_answer(b"\x02PV279.8\x03/", "SL")


def test_bisynch_wrong_check_character_is_garbled() -> None:
    with pytest.raises(GarbledReplyFault, match="check character"):
        parse_answer(b"\x02PV279.9\x03/", "PV")


def test_bisynch_unknown_mnemonic_is_named() -> None:
    settings = EurothermSettings(quantities={"temperature": "ZZ"})
    with pytest.raises(LinkFault, match="does not know 'ZZ'"):
        EurothermBisynch(_link(EmulatedEurotherm(), "eurotherm_bisynch"), CLOCK, settings).read()


@pytest.mark.parametrize(("data", "number"), [(b" 23.50", 23.5), (b"-5.", -5.0), (b"- 12.3", -12.3), (b"  .5", 0.5)])
def test_bisynch_numbers_in_free_format(data: bytes, number: float) -> None:
    assert parse_number(data) == number


def test_bisynch_below_absolute_zero_is_a_broken_sensor() -> None:
    (reading,) = EurothermBisynch(
        _link(EmulatedEurotherm(temperature=-300.0), "eurotherm_bisynch"), CLOCK, EurothermSettings()
    ).read()
    assert reading.severity is Severity.INVALID
    assert math.isnan(reading.value)


# --- Julabo -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "celsius"), [(b"15.5\n", 15.5), (b"55.50\r\n", 55.5), (b" -12.34\r\n", -12.34)])
def test_julabo_temperatures(answer: bytes, celsius: float) -> None:
    assert parse_temperature(answer) == celsius


@pytest.mark.parametrize(
    ("answer", "severity"),
    [
        (b"00 MANUAL STOP\r\n", Severity.OK),
        (b"03 REMOTE START\r\n", Severity.OK),
        (b"-01 LOW LEVEL ALARM\r\n", Severity.ALARM),
        (b"-03 EXCESS TEMPERATURE WARNING\r\n", Severity.WARNING),
        (b"-05 WORKING SENSOR ALARM\r\n", Severity.INVALID),
        (b"-07 I2C-BUS ERROR\r\n", Severity.ALARM),
    ],
)
def test_julabo_status_messages_of_the_manual(answer: bytes, severity: Severity) -> None:
    assert severity_of(*parse_chiller_status(answer)) is severity


def test_julabo_complaint_about_a_command_is_no_status_of_the_bath() -> None:
    with pytest.raises(GarbledReplyFault, match="did not understand"):
        parse_chiller_status(b"-08 INVALID COMMAND\r\n")


def test_julabo_status_and_temperature_are_never_taken_for_each_other() -> None:
    with pytest.raises(WrongReplyFault):
        parse_temperature(b"03 REMOTE START\r\n")
    with pytest.raises(WrongReplyFault):
        parse_chiller_status(b"15.50\r\n")


def test_julabo_external_sensor_that_is_not_there_gives_no_value() -> None:
    chiller = JulaboChiller(
        _link(EmulatedJulabo(), "julabo_chiller"), CLOCK, ChillerSettings(quantities={"cell": "in_pv_02"})
    )
    (reading,) = chiller.read()
    assert reading.severity is Severity.INVALID


def test_julabo_alarm_comes_with_the_value_and_its_words() -> None:
    device = EmulatedJulabo(bath=20.0, status="-01 LOW LEVEL ALARM")
    (reading,) = JulaboChiller(_link(device, "julabo_chiller"), CLOCK, ChillerSettings()).read()
    assert reading.value == pytest.approx(293.15)
    assert reading.severity is Severity.ALARM
    assert "LOW LEVEL ALARM" in reading.problem


# --- Modbus RTU ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "check"),
    [
        (b"123456789", "37 4B"),  # the check value of CRC-16/MODBUS
        (bytes.fromhex("01 03 00 00 00 0A"), "C5 CD"),
        (bytes.fromhex("01 03 02 00 00"), "B8 44"),
        (bytes.fromhex("1E 04 00 D2 00 01"), "93 9C"),  # logged from a real controller
    ],
)
def test_modbus_checksum_of_the_emulated_controller_is_the_standard_one(body: bytes, check: str) -> None:
    assert crc16(body) == bytes.fromhex(check)


def _modbus(device: EmulatedModbus, **settings: object) -> ModbusTemperature:
    pytest.importorskip("minimalmodbus", reason="extra `monitors` is not installed")
    return ModbusTemperature(_link(device, "modbus_temperature"), CLOCK, ModbusSettings.model_validate(settings))


@pytest.mark.parametrize(
    ("register", "registers", "kelvin"),
    [
        (ModbusRegister(first_register=1, scale=0.1), {1: 235}, 296.65),
        (ModbusRegister(first_register=1, scale=0.1), {1: 0x10000 - 123}, 260.85),
        (ModbusRegister(first_register=1, type="uint16", scale=0.01), {1: 60000}, 873.15),
        (ModbusRegister(first_register=4, type="float32"), {4: 0x41BC, 5: 0x0000}, 296.65),
    ],
)
def test_modbus_registers_become_temperatures(
    register: ModbusRegister, registers: dict[int, int], kelvin: float
) -> None:
    (reading,) = _modbus(EmulatedModbus(registers=registers), quantities={"t": register}).read()
    assert reading.value == pytest.approx(kelvin)


def test_modbus_float_that_is_no_number_gives_no_value() -> None:
    register = ModbusRegister(first_register=4, type="float32")
    (reading,) = _modbus(EmulatedModbus(registers={4: 0x7FC0}), quantities={"t": register}).read()
    assert reading.severity is Severity.INVALID


def test_modbus_refusal_of_the_controller_is_a_link_fault_with_its_reason() -> None:
    with pytest.raises(LinkFault, match="illegal data address"):
        _modbus(EmulatedModbus(), quantities={"t": ModbusRegister(first_register=500)}).read()


def test_modbus_answer_of_another_address_is_a_wrong_reply() -> None:
    device = EmulatedModbus(address=2)
    answer = device.feed(bytes.fromhex("02 03 00 01 00 02") + crc16(bytes.fromhex("02 03 00 01 00 02")))
    device.feed = lambda data: answer  # type: ignore[method-assign]
    with pytest.raises(WrongReplyFault, match="does not answer"):
        _modbus(device, address=1).read()


def test_minimalmodbus_alone_would_take_a_late_answer_for_the_value() -> None:
    """Why it gets our transport (docs/adr/0007-minimalmodbus.md). If this fails, the library has learnt better."""
    minimalmodbus = pytest.importorskip("minimalmodbus", reason="extra `monitors` is not installed")

    class LateByOne:
        """A port on which the answer for register 1 comes when register 2 is asked."""

        is_open, port, baudrate, timeout = True, "late", 115200, 0.1

        def open(self) -> None: ...
        def close(self) -> None: ...
        def reset_input_buffer(self) -> None: ...
        def reset_output_buffer(self) -> None: ...
        def write(self, question: bytes) -> None: ...
        def read(self, size: int) -> bytes:
            return EmulatedModbus(registers={1: 111, 2: 222}).feed(
                bytes.fromhex("01 03 00 01 00 01") + crc16(bytes.fromhex("01 03 00 01 00 01"))
            )[0]

    assert minimalmodbus.Instrument(LateByOne(), 1).read_register(2) == 111
