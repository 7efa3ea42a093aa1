"""The words that helpdesk worlds are made of: people, cities, items, order numbers.

People are split by their combination of names: training worlds and held-out worlds share every
first name and every last name, but no combination of the two.
"""

FIRST = (
    "anna ben clara david emma felix greta hugo ida jonas karin leo maria nils olga paul "
    "rosa sven tina uwe vera willi xenia yusuf"
).split()
LAST = (
    "adler becker conrad dahl eriksen fischer garcia hansen ivanov jensen keller lopez meyer novak "
    "olsen petrov quinn rossi silva tanaka urban vogel weber zimmer"
).split()
CITIES = (
    "Athens Berlin Cairo Dublin Essen Florence Geneva Hanover Istanbul Jena Kyiv London Madrid Naples "
    "Oslo Paris Quito Rome Seville Tokyo Utrecht Vienna Warsaw Zurich"
).split()
ITEMS = (
    "lamp desk chair sofa shelf mirror carpet kettle toaster blender mixer clock radio camera "
    "printer monitor keyboard tablet speaker jacket boots scarf backpack umbrella"
).split()
STATUSES = ("pending", "shipped", "delivered", "cancelled")
ORDERS = tuple(f"O{number}" for number in range(100, 500))
AMOUNTS = tuple(range(10, 310, 10))
SHIPPING = (5, 10, 15)


def emails(split: str) -> list[str]:
    """All e-mail addresses of one split, ``train`` or ``heldout``, in a fixed order."""
    return [
        f"{first}.{last}@example.com"
        for i, first in enumerate(FIRST)
        for j, last in enumerate(LAST)
        if ((i + j) % 4 == 0) == (split == "heldout")
    ]
