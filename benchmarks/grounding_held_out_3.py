"""A third held-out set: the second showed defects, which were mended, and had to be replaced for that reason."""

PASSAGES = {
    "library.md#1": (
        "Members may borrow up to ten items at a time. Books can be kept for four weeks, films for one week. A loan "
        "is renewed twice at most, unless another member has reserved the item. Reference works do not leave the "
        "building."
    ),
    "library.md#2": (
        "Membership is free for pupils and costs 22 euros a year for all others. Overdue items cost 30 cents per day "
        "and item. The central branch closes at 20:00, the Norrgate branch at 18:00. Both are closed on Sundays."
    ),
    "heron.md#1": (
        "The grey heron is about 95 cm long and weighs up to 2 kg. It breeds in colonies in tall trees, often "
        "together with cormorants. The female lays three to five eggs, which both parents hatch for 26 days."
    ),
    "heron.md#2": (
        "Herons eat mainly fish, but also frogs and mice. They were hunted until 1974, when the county of Weslo "
        "protected them. Since then the number of pairs has risen from 40 to 310. Cold winters kill many young "
        "birds."
    ),
    "backup.md#1": (
        "Vaultbox makes an incremental backup every six hours and a full one on Sunday night. Backups are encrypted "
        "on the client with AES-256; the key never reaches the server. Without the key nobody can restore the data."
    ),
    "backup.md#2": (
        "The free plan includes 5 GB, the team plan 500 GB for 9 dollars a month. Deleted files can be restored for "
        "30 days. Snapshots cannot be edited. Lena Marsh founded the company in Dublin in 2015 together with Omar "
        "Haddad."
    ),
    "bridge.md#1": (
        "The Karst Bridge was built between 1931 and 1934 by the engineer Viktor Palm. It is 412 metres long and "
        "crosses the Ulva at a height of 60 metres. Lorries over 12 tonnes are not allowed on it. In 1978 it was "
        "widened from two lanes to four."
    ),
}

CLAIMS = [
    ("copied", True, "Reference works do not leave the building [library.md#1]."),
    ("copied", True, "Snapshots cannot be edited [backup.md#2]."),
    ("copied", True, "Cold winters kill many young birds [heron.md#2]."),
    ("close", True, "You can borrow ten items at once [library.md#1]."),
    ("close", True, "Films must be returned after one week, books after four [library.md#1]."),
    ("close", True, "For pupils, membership costs nothing [library.md#2]."),
    ("close", True, "The Norrgate branch closes at 6 pm, two hours before the central branch [library.md#2]."),
    ("close", True, "Grey herons weigh no more than 2 kg [heron.md#1]."),
    ("close", True, "Both parents hatch the eggs for 26 days [heron.md#1]."),
    ("close", True, "There are 310 pairs today; in 1974 there were 40 [heron.md#2]."),
    ("close", True, "An incremental backup is made every six hours [backup.md#1]."),
    ("close", True, "The team plan has 500 GB of storage and costs 9 dollars per month [backup.md#2]."),
    ("close", True, "Omar Haddad and Lena Marsh founded the company in 2015 in Dublin [backup.md#2]."),
    ("close", True, "Viktor Palm, an engineer, built the bridge from 1931 to 1934 [bridge.md#1]."),
    ("sum", True, "The team plan costs 108 dollars for twelve months in total [backup.md#2]."),
    ("comparative", True, "The bridge is more than 400 metres long [bridge.md#1]."),
    ("two passages", True, "Herons breed in tall trees and live mainly on fish [heron.md#1, heron.md#2]."),
    ("own words", True, "You may not take reference works home [library.md#1]."),
    ("own words", True, "On Sundays neither branch is open [library.md#2]."),
    ("own words", True, "Hunting herons has been forbidden in Weslo since 1974 [heron.md#2]."),
    ("own words", True, "If you lose the key, your data is gone [backup.md#1]."),
    ("own words", True, "A file that you have deleted by mistake can be brought back within 30 days [backup.md#2]."),
    ("own words", True, "Heavy lorries must take another route [bridge.md#1]."),
    ("nothing said", True, "The passages do not mention a family plan."),
    ("wrong number", False, "Overdue items cost 50 cents per day and item [library.md#2]."),
    ("wrong number", False, "The female lays six to eight eggs [heron.md#1]."),
    ("wrong unit", False, "The free plan includes 5 TB [backup.md#2]."),
    ("wrong date", False, "The bridge was widened in 1987 [bridge.md#1]."),
    ("wrong name", False, "The bridge crosses the Orla at a height of 60 metres [bridge.md#1]."),
    ("wrong name", False, "Lena Marsh founded the company in Cork [backup.md#2]."),
    ("wrong passage", False, "Both branches are closed on Sundays [library.md#1]."),
    ("no citation", False, "Deleted files can be restored for 30 days."),
    ("invented", False, "The library lends out musical instruments [library.md#1]."),
    ("invented", False, "Vaultbox passed an audit by a security firm [backup.md#1]."),
    ("invented", False, "A toll was charged on the bridge for many years [bridge.md#1]."),
    ("invented in part", False, "Membership costs 22 euros a year and includes a tote bag [library.md#2]."),
    ("invented in part", False, "Both parents hatch the eggs for 26 days and then moult [heron.md#1]."),
    ("invented in part", False, "It was widened from two lanes to four in 1978, which cost nine lives [bridge.md#1]."),
    ("negated", False, "Snapshots can be edited [backup.md#2]."),
    ("negated", False, "The key is sent to the server [backup.md#1]."),
    ("negated", False, "Lorries over 12 tonnes are allowed on the bridge [bridge.md#1]."),
    ("negated", False, "Herons do not eat frogs [heron.md#2]."),
    ("antonym", False, "Since then the number of pairs has fallen from 310 to 40 [heron.md#2]."),
    ("quantifier", False, "Membership is free for everyone [library.md#2]."),
    ("swapped", False, "Films can be kept for four weeks, books for one week [library.md#1]."),
    ("swapped", False, "The central branch closes at 18:00, the Norrgate branch at 20:00 [library.md#2]."),
    ("swapped", False, "A full backup is made every six hours and an incremental one on Sunday night [backup.md#1]."),
    ("swapped", False, "Cormorants eat mainly herons [heron.md#1, heron.md#2]."),
]
"""Kind, whether it is grounded, and the claim."""
