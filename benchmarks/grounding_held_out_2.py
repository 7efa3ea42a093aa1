"""A second held-out set: written when the rules of the check were finished, and before it was run on any of these."""

PASSAGES = {
    "bikes.md#1": (
        "CityWheel has 1,800 bicycles at 140 stations. The first 30 minutes of each ride are free; after that a ride "
        "costs 2 euros per half hour. A yearly pass costs 48 euros and may not be shared. Riders must be at least 16 "
        "years old."
    ),
    "bikes.md#2": (
        "Bicycles have to be returned to a station. Whoever leaves one elsewhere pays a fee of 20 euros. Lost "
        "bicycles must be reported to the hotline within 24 hours. The hotline is staffed from 6:00 to 23:00, also "
        "on public holidays."
    ),
    "volcano.md#1": (
        "Mount Hael, 2,410 metres high, last erupted on 17 August 1987. The eruption lasted nine days and buried the "
        "village of Torsk, whose 600 inhabitants had been evacuated in time. Only the church tower can still be "
        "seen."
    ),
    "volcano.md#2": (
        "The observatory at Mount Hael was set up in 1991 by the geologist Ines Falk. It runs 22 seismometers and "
        "two gas sensors. Hikers may climb to the rim between July and September, but the descent into the crater is "
        "not permitted."
    ),
    "parser.md#1": (
        "Release 4.0 of Quill drops support for Python 3.9 and adds an asynchronous reader. The new reader is about "
        "three times as fast as the old one on large files, but it cannot read encrypted files yet. The default "
        "encoding is now UTF-8 instead of Latin-1."
    ),
    "parser.md#2": (
        "Quill is maintained by Joao Pires and Hanna Berg. Bugs are fixed for 18 months after a release. The option "
        "strict_mode was removed; use validate=True. Files larger than 2 GB are read in chunks of 64 MB."
    ),
    "ward.md#1": (
        "Visiting hours are from 14:00 to 19:00. At most two visitors are allowed at the bedside at the same time. "
        "Children under ten need the consent of the ward sister. Flowers are welcome, except in intensive care."
    ),
    "composer.md#1": (
        "Elsa Norrby was born in Uppsala in 1874, the daughter of an organist. She studied in Leipzig with Carl "
        "Reinecke and wrote three symphonies, of which the second was never performed in her lifetime. She died in "
        "Stockholm in 1951."
    ),
    "composer.md#2": (
        "Norrby's opera The Glass Harbour was first staged in 1908 in Gothenburg and was a failure. Critics found it "
        "too long. It was revived in 1996, when most reviews were enthusiastic. The manuscript is kept at the Royal "
        "Library."
    ),
}

CLAIMS = [
    ("copied", True, "Bugs are fixed for 18 months after a release [parser.md#2]."),
    ("copied", True, "Lost bicycles must be reported to the hotline within 24 hours [bikes.md#2]."),
    ("copied", True, "Only the church tower can still be seen [volcano.md#1]."),
    ("copied", True, "Critics found it too long [composer.md#2]."),
    ("close", True, "CityWheel operates 140 stations with 1800 bicycles [bikes.md#1]."),
    ("close", True, "You have to be 16 or older to ride [bikes.md#1]."),
    ("close", True, "If you leave a bicycle anywhere but at a station, you pay 20 euros [bikes.md#2]."),
    ("close", True, "Mount Hael's last eruption began on August 17, 1987 and went on for nine days [volcano.md#1]."),
    ("close", True, "Ines Falk, a geologist, set up the observatory in 1991 [volcano.md#2]."),
    ("close", True, "Since release 4.0, UTF-8 is the default encoding [parser.md#1]."),
    ("close", True, "Quill's maintainers are Hanna Berg and Joao Pires [parser.md#2]."),
    ("close", True, "Instead of strict_mode, set validate=True [parser.md#2]."),
    ("close", True, "Visitors can come between 2 pm and 7 pm [ward.md#1]."),
    ("close", True, "Elsa Norrby, born in 1874, came from Uppsala [composer.md#1]."),
    ("close", True, "Her opera was staged again in 1996 [composer.md#2]."),
    (
        "two passages",
        True,
        "Norrby studied in Leipzig, and The Glass Harbour was first staged in 1908 [composer.md#1, composer.md#2].",
    ),
    (
        "two passages",
        True,
        "The mountain is 2,410 metres high and is watched with 22 seismometers [volcano.md#1, volcano.md#2].",
    ),
    ("sum", True, "A ride of 90 minutes costs 4 euros altogether [bikes.md#1]."),
    ("sum", True, "Norrby lived to the age of 77 [composer.md#1]."),
    (
        "comparative",
        True,
        "The observatory was founded less than five years after the eruption [volcano.md#1, volcano.md#2].",
    ),
    ("comparative", True, "On big files the old reader is slower than the new one [parser.md#1]."),
    ("own words", True, "You may not lend your annual pass to anybody [bikes.md#1]."),
    ("own words", True, "Somebody answers the phone on bank holidays as well [bikes.md#2]."),
    ("own words", True, "Everyone had left the village before it was covered [volcano.md#1]."),
    ("own words", True, "Climbing down into the crater is forbidden [volcano.md#2]."),
    ("own words", True, "You can't open encrypted files with the asynchronous reader so far [parser.md#1]."),
    ("own words", True, "Nobody may bring flowers to intensive care [ward.md#1]."),
    ("own words", True, "A third visitor has to wait outside [ward.md#1]."),
    ("own words", True, "The premiere was not a success [composer.md#2]."),
    ("nothing said", True, "The documents do not say whether helmets are provided."),
    ("nothing said", True, "I don't know when the next release is due."),
    ("wrong number", False, "A yearly pass costs 84 euros [bikes.md#1]."),
    ("wrong number", False, "The eruption lasted six days [volcano.md#1]."),
    ("wrong number", False, "Bugs are fixed for 24 months after a release [parser.md#2]."),
    ("wrong unit", False, "Files larger than 2 MB are read in chunks [parser.md#2]."),
    ("wrong date", False, "Norrby died in Stockholm in 1915 [composer.md#1]."),
    ("wrong date", False, "Hikers may climb to the rim between May and September [volcano.md#2]."),
    ("wrong name", False, "Norrby studied in Leipzig with Max Bruch [composer.md#1]."),
    ("wrong name", False, "The observatory was set up by the geologist Ines Holm [volcano.md#2]."),
    ("wrong passage", False, "The hotline is staffed from 6:00 to 23:00 [bikes.md#1]."),
    ("wrong passage", False, "Quill is maintained by Joao Pires [parser.md#1]."),
    ("no citation", False, "Visiting hours are from 14:00 to 19:00."),
    ("no citation", False, "Release 4.0 adds an asynchronous reader."),
    ("invented", False, "CityWheel also rents out electric scooters [bikes.md#1]."),
    ("invented", False, "The lava reached the sea on the third day [volcano.md#1]."),
    ("invented", False, "Visitors must wear a mask in the corridor [ward.md#1]."),
    ("invented", False, "Quill was awarded a prize for its documentation [parser.md#2]."),
    ("invented in part", False, "Norrby wrote three symphonies and a piano concerto [composer.md#1]."),
    (
        "invented in part",
        False,
        "The hotline is staffed from 6:00 to 23:00 and answers in four languages [bikes.md#2].",
    ),
    (
        "invented in part",
        False,
        "The observatory runs 22 seismometers, which send their data by satellite [volcano.md#2].",
    ),
    (
        "invented in part",
        False,
        "The manuscript is kept at the Royal Library, where it can be viewed on request [composer.md#2].",
    ),
    ("negated", False, "The yearly pass may be shared [bikes.md#1]."),
    ("negated", False, "The asynchronous reader can read encrypted files [parser.md#1]."),
    ("negated", False, "Children under ten do not need the consent of the ward sister [ward.md#1]."),
    ("negated", False, "The inhabitants of Torsk had not been evacuated [volcano.md#1]."),
    ("negated", False, "Flowers are welcome in intensive care [ward.md#1]."),
    ("antonym", False, "Release 4.0 adds support for Python 3.9 [parser.md#1]."),
    ("antonym", False, "The opera was a success in 1908 [composer.md#2]."),
    ("comparative", False, "The old reader is three times as fast as the new one [parser.md#1]."),
    ("quantifier", False, "All three symphonies were performed in her lifetime [composer.md#1]."),
    ("swapped", False, "The default encoding is now Latin-1 instead of UTF-8 [parser.md#1]."),
    ("swapped", False, "Carl Reinecke studied in Leipzig with Elsa Norrby [composer.md#1]."),
    ("swapped", False, "It runs two seismometers and 22 gas sensors [volcano.md#2]."),
    ("swapped", False, "Norrby was born in Stockholm and died in Uppsala [composer.md#1]."),
]
"""Kind, whether it is grounded, and the claim."""
