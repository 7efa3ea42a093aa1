"""Which wishes a kind of rows can meet: the others are refused before anything is read, not passed over."""

from ...errors import BadSelection
from ..selection.settings import Selection
from ..tabular import CHATS

_BY_OUTCOME = ("success_only", "min_reward")
_BY_LENGTH = ("min_tokens", "max_tokens")
_BY_ROW = ("min_tokens", "exact", "near", "best_of", "balance", "mix")
_INSTEAD = {
    **dict.fromkeys(CHATS, (_BY_LENGTH, "these rows hold text, which has no tokens yet")),
    "pairs": (_BY_OUTCOME, "bad examples make these rows, too; choose threads with --where reward>=N"),
    "kto": (_BY_OUTCOME, "bad examples make these rows, too; --good-from says which rewards are good"),
    "groups": ((*_BY_OUTCOME, *_BY_ROW), "it would tear groups apart; choose threads with --where"),
}


def refuse_selection(kind: str, selection: Selection) -> None:
    """Nothing, if rows of ``kind`` can be selected so.

    Raises:
        BadSelection
    """
    names, why = _INSTEAD.get(kind, ((), ""))
    asked = selection.to_dict()
    if wrong := [name for name in names if name in asked]:
        raise BadSelection(f"{kind} cannot be selected by {', '.join(wrong)}: {why}")
