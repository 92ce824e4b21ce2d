"""Which device of an agent makes itself heard: evenings of one agent, drawn by number, and what people heard in them.

Apart from the weeks, because here every quarter of a second counts, and there none in which nothing is decided.
"""

from __future__ import annotations

from simulate.broken import Broken
from simulate.devices.ears import Heard, judge
from simulate.devices.evening import Evening
from simulate.devices.lots import OWED_S, draw, drowse

_DROWSY = 10
"""Every so manieth evening is one in which all devices sleep: what then has to happen hardly comes up by lots."""


def spend(number: int) -> tuple[Evening, Broken | None]:
    """Play the evening of this number and judge it; never raises for a broken promise."""
    evening = Evening(number)
    evening.play(drowse if number % _DROWSY == 5 else draw)
    heard = Heard(
        posted=evening.posted,
        rings=[(at_s, d.id, position) for d in evening.devices for at_s, position in d.rings],
        moves=[at_s for at_s, _ in evening.moves],
        taken_s=[at_s for at_s, move in evening.moves if move.why != "unanswered"],
        unaware_s=evening.unaware_s,
        troubled_s=evening.troubled_s,
        off_s={device.id: device.off_s for device in evening.devices},
        calm_s=evening.calm_s,
        owed_s=OWED_S,
    )
    try:
        judge(heard)
    except Broken as err:
        return evening, err
    return evening, None


__all__ = ["spend"]
