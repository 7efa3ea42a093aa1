"""Where the final answer stands: between the last answer tags of the agent's last message, as in reasoning-gym."""

import re

_MARKED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def final_answer(text: str) -> str | None:
    """What stands between the last pair of tags, white space around it cut off; None without tags.

    The rule is that of ``reasoning_gym.utils.extract_answer``.

    >>> final_answer("<answer>41</answer> no: <answer> 42 </answer>."), final_answer("It is 42.")
    ('42', None)
    """
    marked = _MARKED.findall(text)
    return marked[-1].strip() if marked else None
