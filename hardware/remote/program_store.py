"""Texts of programs as they arrive in pieces, and as they stay for the passes to come."""

from __future__ import annotations

import threading
from collections import OrderedDict

from knightshift.core.errors import LinkFault, ProtocolError
from knightshift.core.program import PassProgram
from knightshift.hardware.remote.wire_values import ProgramHead, program_from, text_digest

MAX_TEXT = 8 * 2**20
"""Longest Pulseq text [bytes]."""
_KEPT = 16


class ProgramStore:
    """Pulseq texts by their digest: the last sixteen, each at most `MAX_TEXT` bytes."""

    def __init__(self) -> None:
        self._texts: OrderedDict[str, bytearray] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()

    def offer(self, digest: str, size: int) -> int:
        """Make room for a text; give the offset of the first byte that is missing.

        Raises
        ------
        ProtocolError
            If it is too long.
        """
        if not 0 <= size <= MAX_TEXT:
            raise ProtocolError(f"a program of {size} bytes is too long for the link, {MAX_TEXT} is the most")
        with self._lock:
            if self._sizes.get(digest) != size:
                self._texts[digest], self._sizes[digest] = bytearray(), size
            self._texts.move_to_end(digest)
            while len(self._texts) > _KEPT:
                dropped, _ = self._texts.popitem(last=False)
                del self._sizes[dropped]
            return len(self._texts[digest])

    def add(self, digest: str, offset: int, piece: bytes) -> int:
        """Append a piece; give the offset of the next. A piece that is there already changes nothing.

        Raises
        ------
        LinkFault
            If the text was not offered, or does not have its digest in the end: it must be sent again.
        """
        with self._lock:
            text = self._texts.get(digest)
            if text is None:
                raise LinkFault("the program was not offered, or has been dropped meanwhile: prepare it again")
            if offset == len(text):
                if offset + len(piece) > self._sizes[digest] or not piece:
                    raise LinkFault("a piece of a program is longer than the whole: prepare it again")
                text += piece
            if len(text) == self._sizes[digest] and text_digest(bytes(text)) != digest:
                text.clear()
                raise LinkFault("a program did not arrive as it was sent: prepare it again")
            return len(text)

    def program(self, head: ProgramHead) -> PassProgram:
        """Put a program together. Raises `LinkFault` if its text is not there or is another."""
        with self._lock:
            text = self._texts.get(head.text_digest)
            if text is None or len(text) != self._sizes[head.text_digest]:
                raise LinkFault(f"the text of {head.name} is not here: prepare it again")
            return program_from(head, bytes(text))
