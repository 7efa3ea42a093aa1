"""Claims with the passages that they cite, and whether the passages say so: labelled by hand, before any was checked.

Each claim has a kind: how it was written, or what was done to it.
"""

PASSAGES = {
    "ferry.md#1": (
        "The Alder ferry crosses Lake Marren between Port Elm and Stonequay. It leaves Port Elm at 09:30 and 16:45 "
        "every day from April to October; the crossing takes 50 minutes. There is no service in winter because the "
        "lake freezes."
    ),
    "ferry.md#2": (
        "A single ticket costs 12 crowns, a return ticket 20 crowns. Children under six travel free of charge. "
        "Bicycles need a ticket of their own at 4 crowns. Tickets are sold on board only, and cards are not accepted."
    ),
    "museum.md#1": (
        "The Lantern Museum in Stonequay was founded in 1908 by the glassmaker Ottilie Brandt. It shows 3,400 lamps "
        "from eleven countries. The oldest piece, a clay oil lamp, is about 2,100 years old."
    ),
    "museum.md#2": (
        "The museum is open from Tuesday to Sunday, 10:00 to 18:00, and closed on Mondays. Entry costs 9 crowns; on "
        "the first Sunday of each month it is free. Photography is allowed without flash."
    ),
    "storm.md#1": (
        "On 14 March 1962 a storm destroyed the old pier of Port Elm. Nobody was hurt. The mayor, Henrik Sand, had the "
        "new pier built of stone instead of oak, and it was opened on 2 June 1964."
    ),
}

CLAIMS = [
    ("copied", True, "The crossing takes 50 minutes [ferry.md#1]."),
    ("copied", True, "A single ticket costs 12 crowns [ferry.md#2]."),
    ("copied", True, "The museum is open from Tuesday to Sunday, 10:00 to 18:00 [museum.md#2]."),
    ("copied", True, "Nobody was hurt in the storm [storm.md#1]."),
    ("copied", True, "Photography is allowed without flash [museum.md#2]."),
    ("copied", True, "There is no service in winter because the lake freezes [ferry.md#1]."),
    ("close", True, "You pay 20 crowns for a return ticket [ferry.md#2]."),
    ("close", True, "Each day the ferry leaves Port Elm at 9:30 and at 4:45 pm [ferry.md#1]."),
    ("close", True, "Ottilie Brandt, a glassmaker, founded the Lantern Museum in 1908 [museum.md#1]."),
    ("close", True, "The museum owns 3400 lamps from 11 countries [museum.md#1]."),
    ("close", True, "The old pier of Port Elm was destroyed by a storm on March 14, 1962 [storm.md#1]."),
    ("close", True, "On Mondays the museum is closed [museum.md#2]."),
    ("close", True, "Bicycles cost 4 crowns [ferry.md#2]."),
    ("close", True, "The new stone pier opened on 2 June 1964 [storm.md#1]."),
    ("close", True, "The ferry runs between Port Elm and Stonequay from April to October [ferry.md#1]."),
    ("close", True, "Under Henrik Sand, the mayor, the new pier was built of stone [storm.md#1]."),
    ("two passages", True, "The ferry goes to Stonequay, where the Lantern Museum is [ferry.md#1, museum.md#1]."),
    ("two passages", True, "Ferry and museum together cost 29 crowns with a return ticket [ferry.md#2, museum.md#2]."),
    ("two passages", True, "Entry is 9 crowns, and a single ferry ticket is 12 crowns [museum.md#2, ferry.md#2]."),
    ("own words", True, "Small kids ride for nothing [ferry.md#2]."),
    ("own words", True, "You cannot pay by card on the ferry [ferry.md#2]."),
    ("own words", True, "Buy your ticket once you are on the boat [ferry.md#2]."),
    ("own words", True, "The boat does not run while the lake is frozen [ferry.md#1]."),
    ("own words", True, "No one came to harm [storm.md#1]."),
    ("own words", True, "You may take pictures if you switch the flash off [museum.md#2]."),
    ("own words", True, "Visiting is gratis every first Sunday of a month [museum.md#2]."),
    ("own words", True, "The trip lasts less than an hour [ferry.md#1]."),
    ("nothing said", True, "I don't know whether dogs are allowed."),
    ("nothing said", True, "The documents do not mention a café."),
    ("wrong number", False, "The crossing takes 40 minutes [ferry.md#1]."),
    ("wrong number", False, "A return ticket costs 24 crowns [ferry.md#2]."),
    ("wrong number", False, "The museum shows 3,600 lamps [museum.md#1]."),
    ("wrong number", False, "The ferry leaves Port Elm at 10:30 [ferry.md#1]."),
    ("wrong number", False, "Children under eight travel free of charge [ferry.md#2]."),
    ("wrong date", False, "The storm was on 15 March 1962 [storm.md#1]."),
    ("wrong date", False, "The new pier was opened in June 1966 [storm.md#1]."),
    ("wrong name", False, "The museum was founded in 1908 by the glassmaker Clara Brandt [museum.md#1]."),
    ("wrong name", False, "The ferry crosses Lake Tarn [ferry.md#1]."),
    ("wrong name", False, "The mayor, Henrik Voss, had the new pier built [storm.md#1]."),
    ("wrong passage", False, "A single ticket costs 12 crowns [ferry.md#1]."),
    ("wrong passage", False, "Photography is allowed without flash [museum.md#1]."),
    ("wrong passage", False, "The crossing takes 50 minutes [ferry.md#3]."),
    ("no citation", False, "A single ticket costs 12 crowns."),
    ("no citation", False, "The museum is closed on Mondays."),
    ("invented", False, "The ferry has a restaurant with lake fish [ferry.md#1]."),
    ("invented", False, "Guided tours start every hour at the entrance [museum.md#2]."),
    ("invented", False, "Students get a discount on presentation of a card [ferry.md#2]."),
    ("invented", False, "The storm was the worst in living memory [storm.md#1]."),
    ("invented in part", False, "It was founded by the glassmaker Ottilie Brandt and her sister [museum.md#1]."),
    ("invented in part", False, "The crossing takes 50 minutes and is often rough [ferry.md#1]."),
    ("invented in part", False, "Entry costs 9 crowns and includes an audio guide [museum.md#2]."),
    ("negated", False, "The museum is not closed on Mondays [museum.md#2]."),
    ("negated", False, "Cards are accepted on board [ferry.md#2]."),
    ("negated", False, "Photography is not allowed [museum.md#2]."),
    ("negated", False, "There is service in winter [ferry.md#1]."),
    ("swapped", False, "A single ticket costs 20 crowns, a return ticket 12 crowns [ferry.md#2]."),
    ("swapped", False, "The ferry leaves Stonequay at 09:30 every day [ferry.md#1]."),
    ("swapped", False, "The new pier was built of oak instead of stone [storm.md#1]."),
    ("swapped", False, "The museum is open on Mondays and closed from Tuesday to Sunday [museum.md#2]."),
    ("swapped", False, "Bicycles travel free of charge, and children need a ticket at 4 crowns [ferry.md#2]."),
]
"""Kind, whether it is grounded, and the claim."""
