"""More claims with passages: written when `grounding_claims.py` had shown that the check missed negations.

The check that learnt them was not run on these before it was finished: what it makes of them is what to expect of it.
"""

PASSAGES = {
    "router.md#1": (
        "The Kestrel 5 router has four LAN ports and one USB port. Its default password is printed on the bottom. "
        "After three failed logins it locks the account for 15 minutes."
    ),
    "router.md#2": (
        "Firmware 2.8 was released on 9 September 2023. It fixes CVE-2023-4411 and adds support for WPA3. "
        "Downgrading to versions before 2.5 is not possible."
    ),
    "lease.md#1": (
        "The monthly rent is 840 euros, due on the third working day. The deposit of 1,680 euros is returned within "
        "six weeks after moving out. Pets are not permitted without written consent of Ms. Okafor."
    ),
    "lease.md#2": (
        "Either party may end the lease with three months' notice. The tenant pays for repairs up to 100 euros, the "
        "landlord for everything above. Subletting is forbidden."
    ),
    "recipe.md#1": (
        "Soak 300 g of chickpeas overnight. Boil them for 90 minutes without salt, then add two onions, cumin and a "
        "litre of broth. The stew keeps in the fridge for four days and must not be frozen."
    ),
}

CLAIMS = [
    ("copied", True, "The Kestrel 5 router has four LAN ports [router.md#1]."),
    ("copied", True, "Subletting is forbidden [lease.md#2]."),
    ("copied", True, "Soak 300 g of chickpeas overnight [recipe.md#1]."),
    ("copied", True, "Pets are not permitted without written consent of Ms. Okafor [lease.md#1]."),
    ("copied", True, "Downgrading to versions before 2.5 is not possible [router.md#2]."),
    ("close", True, "Version 2.8 of the firmware was released on September 9, 2023 [router.md#2]."),
    ("close", True, "The account is locked for 15 minutes after 3 failed logins [router.md#1]."),
    ("close", True, "You find the default password printed on the bottom [router.md#1]."),
    ("close", True, "The rent is 840 euros a month [lease.md#1]."),
    ("close", True, "The deposit, 1680 euros, is returned within six weeks [lease.md#1]."),
    ("close", True, "The chickpeas are boiled for 90 minutes, without salt [recipe.md#1]."),
    ("close", True, "Support for WPA3 was added in firmware 2.8 [router.md#2]."),
    ("close", True, "The stew keeps four days in the fridge [recipe.md#1]."),
    ("close", True, "The landlord pays for repairs above 100 euros [lease.md#2]."),
    ("own words", True, "You can't go back to anything older than 2.5 [router.md#2]."),
    ("own words", True, "Don't put the stew in the freezer [recipe.md#1]."),
    ("own words", True, "If you want a dog, ask Ms. Okafor for permission in writing [lease.md#1]."),
    ("own words", True, "You may not rent the flat out to someone else [lease.md#2]."),
    ("own words", True, "A security hole, CVE-2023-4411, is closed in this release [router.md#2]."),
    ("nothing said", True, "I could not find anything about parking."),
    ("wrong number", False, "The rent is 860 euros a month [lease.md#1]."),
    ("wrong number", False, "After five failed logins the account is locked [router.md#1]."),
    ("wrong number", False, "Boil the chickpeas for 60 minutes [recipe.md#1]."),
    ("wrong number", False, "Firmware 2.9 adds support for WPA3 [router.md#2]."),
    ("wrong date", False, "Firmware 2.8 was released on 9 October 2023 [router.md#2]."),
    ("wrong name", False, "Pets need the written consent of Ms. Adeyemi [lease.md#1]."),
    ("wrong name", False, "The router Falcon 5 has four LAN ports [router.md#1]."),
    ("wrong passage", False, "Subletting is forbidden [lease.md#1]."),
    ("wrong passage", False, "The stew keeps for four days [recipe.md#2]."),
    ("no citation", False, "The rent is 840 euros."),
    ("invented", False, "The flat comes with a cellar and a garden [lease.md#1]."),
    ("invented", False, "The router blinks green while updating [router.md#2]."),
    ("invented in part", False, "Add two onions, cumin and a pinch of saffron [recipe.md#1]."),
    ("invented in part", False, "The router has four LAN ports and a fast processor [router.md#1]."),
    ("negated", False, "Subletting is not forbidden [lease.md#2]."),
    ("negated", False, "The stew can be frozen [recipe.md#1]."),
    ("negated", False, "Downgrading to versions before 2.5 is possible [router.md#2]."),
    ("negated", False, "The deposit is not returned [lease.md#1]."),
    ("swapped", False, "The landlord pays for repairs up to 100 euros, the tenant for everything above [lease.md#2]."),
    ("swapped", False, "The router has one LAN port and four USB ports [router.md#1]."),
]
"""Kind, whether it is grounded, and the claim."""
