"""Claims on which the check of claims was developed: every kind of twist that its authors could think of.

Its figures on these say what was tried, not how good the check is: for that there are the held-out sets.
"""

PASSAGES = {
    "leave.md#1": (
        "Full-time employees get 28 days of paid leave a year. Up to five unused days can be carried over into the "
        "next year, but they expire on 31 March. Leave must be requested at least two weeks in advance and is "
        "approved by the line manager."
    ),
    "leave.md#2": (
        "Parental leave is 16 weeks at full pay for either parent. Sick leave of more than three days requires a "
        "doctor's note. Contractors are not entitled to paid leave."
    ),
    "api.md#1": (
        "Requests are limited to 600 per minute for each API key. When the limit is exceeded, the server answers "
        "with status 429 and a Retry-After header. Webhooks do not count toward the limit."
    ),
    "api.md#2": (
        "Keys are created by administrators under Settings and cannot be recovered once the dialog is closed. Test "
        "keys begin with tk_ and never charge a card. Version 3 of the API was deprecated in January 2025 and will "
        "be removed on 1 July 2026; version 4 replaced it."
    ),
    "pill.md#1": (
        "Adults take one tablet of Corvadil 20 mg twice daily with food. The maximum dose is 80 mg in 24 hours. Do "
        "not give it to children under 12. It may cause drowsiness; avoid driving until you know how it affects you."
    ),
    "pill.md#2": (
        "Store below 25 °C in the original package. Corvadil must not be combined with alcohol or with blood "
        "thinners. It was approved in Norway in 2011 and in Canada two years later."
    ),
    "chess.md#1": (
        "Mira Okafor beat Jonas Lind in the final of the 2018 Harbour Open after five hours. Lind had won the "
        "tournament in 2016 and 2017. The prize of 40,000 euros was the highest in the history of the event."
    ),
    "chess.md#2": (
        "Okafor was born in Lagos and moved to Tampere at the age of nine. She became a grandmaster in 2014, earlier "
        "than Lind, who got the title in 2015. Her trainer was Pavel Horák."
    ),
    "firm.md#1": (
        "In 2023 Tessel Foods had revenue of 412 million dollars, up 8 % from 2022, and a net loss of 6.5 million "
        "dollars. It employs 2,150 people in four plants. The largest plant is in Gdynia."
    ),
    "firm.md#2": (
        "Tessel Foods acquired the bakery chain Molen in May 2021 for 58 million dollars. Chief executive Dana Ruiz "
        "succeeded Peter Aldous in 2020. All plants except the one in Porto run on renewable electricity."
    ),
    "lake.md#1": (
        "Lake Ostrava lies 1,340 metres above sea level and is up to 92 metres deep. The river Sava flows out of it "
        "to the south. Most of its fish are trout; pike were introduced in the 1930s."
    ),
    "lake.md#2": (
        "Swimming is forbidden near the dam. Motor boats are prohibited, but rowing boats can be rented from June to "
        "September for 15 euros an hour. The campsite has 120 pitches, some of which have electricity."
    ),
    "visa.md#1": (
        "Citizens of Norland may stay in Esteria for up to 90 days without a visa. Everyone else applies online at "
        "least three weeks before travelling; the visa costs 65 euros and is valid for one year. A passport must be "
        "valid for six months beyond the date of entry."
    ),
    "visa.md#2": (
        "The embassy in Brel is open on weekdays from 8:30 to 12:30. Interviews are only held on Thursdays. "
        "Applications that lack a photo are sent back. Fees are not refunded if an application is rejected."
    ),
    "bread.md#1": (
        "Mix 500 g of rye flour with 350 ml of lukewarm water and 10 g of salt. Let the dough rest overnight at room "
        "temperature. Bake it at 230 °C for 15 minutes, then lower the heat to 200 °C and bake for another 35 "
        "minutes."
    ),
    "bread.md#2": (
        "Rye bread tastes better on the second day. It keeps for about a week in a linen bag, but must not be kept "
        "in the refrigerator. Wholemeal flour absorbs more water than white flour."
    ),
    "moon.md#1": (
        "The probe Selene 2 was launched on 4 October 2016 from Kourou and reached the Moon five days later. It "
        "carried four instruments; the spectrometer failed after two weeks. Contact was lost in March 2019."
    ),
    "moon.md#2": (
        "Selene 2 weighed 640 kg, twice as much as Selene 1. The mission was led by Amina Duarte and cost 210 "
        "million euros, less than planned. It discovered water ice in three craters near the south pole."
    ),
    "oven.md#1": (
        "The Brask oven heats up to 275 °C in seven minutes. Pyrolytic cleaning takes 2 hours and locks the door. "
        "Remove the racks before you start it. The warranty covers parts for three years, but not glass."
    ),
}

CLAIMS = [
    ("copied", True, "Interviews are only held on Thursdays [visa.md#2]."),
    ("copied", True, "Rye bread tastes better on the second day [bread.md#2]."),
    ("close", True, "With a Norland passport you can stay 90 days in Esteria without a visa [visa.md#1]."),
    ("close", True, "A visa is valid for one year and costs 65 euros [visa.md#1]."),
    ("close", True, "The passport has to be valid for another six months after entry [visa.md#1]."),
    ("close", True, "On weekdays, the Brel embassy opens at 8:30 and closes at 12:30 [visa.md#2]."),
    ("close", True, "Applications without a photo are returned [visa.md#2]."),
    ("close", True, "If an application is rejected, the fee is not refunded [visa.md#2]."),
    ("close", True, "The dough rests overnight at room temperature [bread.md#1]."),
    ("close", True, "Use half a kilogram of rye flour [bread.md#1]."),
    ("close", True, "First bake it for 15 minutes at 230 degrees [bread.md#1]."),
    ("close", True, "Selene 2 was launched from Kourou on October 4, 2016 [moon.md#1]."),
    ("close", True, "Amina Duarte led the mission, which cost 210 million euros [moon.md#2]."),
    ("close", True, "Of its four instruments, the spectrometer failed after two weeks [moon.md#1]."),
    ("close", True, "Water ice was found near the Moon's south pole [moon.md#1, moon.md#2]."),
    (
        "passive",
        True,
        "The mission was led by Amina Duarte; contact with the probe was lost in March 2019 [moon.md#1, moon.md#2].",
    ),
    ("sum", True, "The bread bakes for 50 minutes in total [bread.md#1]."),
    ("sum", True, "Selene 2 arrived at the Moon on 9 October 2016 [moon.md#1]."),
    ("sum", True, "Selene 1 weighed 320 kg [moon.md#2]."),
    ("unit", True, "You need 0.35 litres of water [bread.md#1]."),
    ("comparative", True, "White flour absorbs less water than wholemeal flour [bread.md#2]."),
    ("comparative", True, "Selene 2 was heavier than Selene 1 [moon.md#2]."),
    ("comparative", True, "The mission stayed below its budget [moon.md#2]."),
    ("quantifier", True, "Not everyone needs a visa for Esteria [visa.md#1]."),
    ("own words", True, "You should not put the loaf in the fridge [bread.md#2]."),
    ("own words", True, "Get your visa request in no later than three weeks before the trip [visa.md#1]."),
    ("own words", True, "Nobody gets the money back after a refusal [visa.md#2]."),
    ("own words", True, "After a quarter of an hour, turn the oven down to 200 °C [bread.md#1]."),
    ("own words", True, "One of the instruments broke down within a fortnight [moon.md#1]."),
    ("hedge", True, "It should keep for roughly seven days in a linen bag [bread.md#2]."),
    ("nothing said", True, "The recipe does not mention yeast."),
    ("wrong number", False, "A visa costs 56 euros [visa.md#1]."),
    ("wrong number", False, "The passport must be valid for nine months beyond the date of entry [visa.md#1]."),
    ("wrong number", False, "It discovered water ice in five craters [moon.md#2]."),
    ("wrong unit", False, "Add 10 kg of salt [bread.md#1]."),
    ("wrong date", False, "Contact was lost in May 2019 [moon.md#1]."),
    ("wrong date", False, "Interviews are held on Tuesdays [visa.md#2]."),
    ("wrong name", False, "The probe was launched from Baikonur [moon.md#1]."),
    ("wrong name", False, "Mix the wheat flour with lukewarm water [bread.md#1]."),
    ("wrong passage", False, "Interviews are only held on Thursdays [visa.md#1]."),
    ("no citation", False, "The mission cost 210 million euros."),
    ("invented", False, "The embassy has a car park for visitors [visa.md#2]."),
    ("invented", False, "The probe took photographs of the far side [moon.md#1]."),
    ("invented", False, "Caraway seeds make the bread easier to digest [bread.md#2]."),
    ("invented in part", False, "The visa costs 65 euros and can be extended twice [visa.md#1]."),
    ("invented in part", False, "The dough rests overnight at room temperature under a damp cloth [bread.md#1]."),
    ("invented in part", False, "Contact was lost in March 2019 because of a solar storm [moon.md#1]."),
    ("negated", False, "Fees are refunded if an application is rejected [visa.md#2]."),
    ("negated", False, "Norland's citizens need a visa even for 90 days [visa.md#1]."),
    ("negated", False, "The bread must be kept in the refrigerator [bread.md#2]."),
    ("negated", False, "The spectrometer did not fail [moon.md#1]."),
    ("antonym", False, "Rye bread tastes worse on the second day [bread.md#2]."),
    ("antonym", False, "Raise the heat to 200 °C after 15 minutes [bread.md#1]."),
    ("antonym", False, "The mission cost more than planned [moon.md#2]."),
    ("comparative", False, "White flour absorbs more water than wholemeal flour [bread.md#2]."),
    ("comparative", False, "Selene 1 weighed twice as much as Selene 2 [moon.md#2]."),
    ("quantifier", False, "Everyone may stay in Esteria without a visa [visa.md#1]."),
    ("quantifier", False, "All instruments failed after two weeks [moon.md#1]."),
    ("swapped", False, "Bake it at 200 °C for 15 minutes, then at 230 °C for another 35 minutes [bread.md#1]."),
    ("swapped", False, "Mix 350 g of rye flour with 500 ml of water [bread.md#1]."),
    ("swapped", False, "Norland may be visited by citizens of Esteria for 90 days [visa.md#1]."),
    ("swapped", False, "Interviews are held on weekdays, and the embassy is only open on Thursdays [visa.md#2]."),
    ("copied", True, "Contractors are not entitled to paid leave [leave.md#2]."),
    ("copied", True, "Webhooks do not count toward the limit [api.md#1]."),
    ("copied", True, "The maximum dose is 80 mg in 24 hours [pill.md#1]."),
    ("copied", True, "The largest plant is in Gdynia [firm.md#1]."),
    ("copied", True, "Remove the racks before you start it [oven.md#1]."),
    ("close", True, "You get 28 paid leave days per year if you work full time [leave.md#1]."),
    ("close", True, "Unused leave that is carried over expires on March 31 [leave.md#1]."),
    ("close", True, "Each API key is limited to 600 requests per minute [api.md#1]."),
    ("close", True, "If you exceed the limit, you get a 429 with a `Retry-After` header [api.md#1]."),
    ("close", True, "API version 3 is going to be removed on 2026-07-01 [api.md#2]."),
    ("close", True, "Corvadil is not for children younger than 12 [pill.md#1]."),
    ("close", True, "In the 2018 final, Mira Okafor beat Jonas Lind [chess.md#1]."),
    ("close", True, "Revenue rose by 8% in 2023, to $412 million [firm.md#1]."),
    ("close", True, "The Sava flows south out of Lake Ostrava [lake.md#1]."),
    ("close", True, "You can rent a rowing boat for €15 an hour from June to September [lake.md#2]."),
    ("close", True, "Pyrolytic cleaning takes two hours, and the door is locked [oven.md#1]."),
    ("close", True, "Dana Ruiz became chief executive in 2020, succeeding Peter Aldous [firm.md#2]."),
    ("close", True, "The prize was 40000 euros [chess.md#1]."),
    ("close", True, "The tablets should be stored below 25 degrees [pill.md#2]."),
    (
        "inflected",
        True,
        "Requesting leave takes two weeks' advance notice, and the line manager's approval [leave.md#1].",
    ),
    ("inflected", True, "Exceeding it is answered with status 429 [api.md#1]."),
    ("inflected", True, "Combining it with alcohol or blood thinners is not permitted [pill.md#2]."),
    ("inflected", True, "Lind's tournament wins came in 2016 and 2017 [chess.md#1]."),
    ("inflected", True, "Molen's acquisition by Tessel Foods was in May 2021 [firm.md#2]."),
    ("inflected", True, "Pikes were an introduction of the 1930s [lake.md#1]."),
    ("passive", True, "Jonas Lind was beaten by Mira Okafor in the final [chess.md#1]."),
    ("passive", True, "Peter Aldous was succeeded by Dana Ruiz [firm.md#2]."),
    ("passive", True, "Version 3 was replaced by version 4 [api.md#2]."),
    ("passive", True, "Administrators create the keys under Settings [api.md#2]."),
    ("sum", True, "Okafor became a grandmaster one year before Lind [chess.md#2]."),
    ("sum", True, "Canada approved it in 2013 [pill.md#2]."),
    ("sum", True, "Paid leave and five carried-over days make 33 days altogether [leave.md#1]."),
    ("sum", True, "Two hours in a rowing boat cost 30 euros in total [lake.md#2]."),
    ("sum", True, "Together the entitlement and parental leave come to 28 days and 16 weeks [leave.md#1, leave.md#2]."),
    ("sum", True, "At two tablets a day, an adult takes 40 mg daily [pill.md#1]."),
    ("unit", True, "The server allows ten requests a second, that is 600 a minute [api.md#1]."),
    ("unit", True, "Cleaning it takes 120 minutes [oven.md#1]."),
    ("unit", True, "The daily maximum is 80 milligrams [pill.md#1]."),
    ("unit", True, "The lake lies at an altitude of 1.34 km [lake.md#1]."),
    ("unit", True, "Tessel's revenue was 412,000,000 dollars [firm.md#1]."),
    ("comparative", True, "The lake is more than 90 metres deep [lake.md#1]."),
    ("comparative", True, "Tessel Foods has over 2,000 employees [firm.md#1]."),
    ("comparative", True, "The oven is hot in less than ten minutes [oven.md#1]."),
    ("comparative", True, "Okafor got the title earlier than Lind [chess.md#2]."),
    ("quantifier", True, "Not every pitch of the campsite has electricity [lake.md#2]."),
    ("quantifier", True, "Most fish in the lake are trout [lake.md#1]."),
    ("quantifier", True, "All plants but Porto run on renewable electricity [firm.md#2]."),
    ("hedge", True, "Corvadil can cause drowsiness [pill.md#1]."),
    ("hedge", True, "According to the leaflet, it may make you drowsy [pill.md#1]."),
    ("hedge", True, "It seems that test keys never charge a card [api.md#2]."),
    ("abbreviation", True, "The CEO is Dana Ruiz [firm.md#2]."),
    ("abbreviation", True, "Leave expires on 31 Mar. if it was carried over [leave.md#1]."),
    ("abbreviation", True, "Rate limit: 600 req/min per API key [api.md#1]."),
    (
        "list",
        True,
        "The documents say:\n- full-time staff: 28 days of paid leave [leave.md#1]\n- parental leave: 16 weeks at "
        "full pay [leave.md#2]\n- contractors: no paid leave [leave.md#2]",
    ),
    ("list", True, "1. Remove the racks [oven.md#1].\n2. Start pyrolytic cleaning, which takes 2 hours [oven.md#1]."),
    ("two passages", True, "Okafor, who was born in Lagos, won the Harbour Open in 2018 [chess.md#2, chess.md#1]."),
    (
        "two passages",
        True,
        "Rowing boats are allowed on Lake Ostrava, which is up to 92 metres deep [lake.md#2, lake.md#1].",
    ),
    (
        "two passages",
        True,
        "Tessel has four plants, of which only Porto's does not use renewable power [firm.md#1][firm.md#2].",
    ),
    ("own words", True, "Freelancers do not get paid holidays [leave.md#2]."),
    ("own words", True, "Tell your boss a fortnight before you want to go on leave [leave.md#1]."),
    (
        "own words",
        True,
        "Being ill for longer than three days means that you need a note from your doctor [leave.md#2].",
    ),
    ("own words", True, "A lost key cannot be shown again [api.md#2]."),
    ("own words", True, "Swallow the pill with a meal, in the morning and in the evening [pill.md#1]."),
    ("own words", True, "You should not drink while you are on Corvadil [pill.md#2]."),
    ("own words", True, "The company lost 6.5 million dollars that year [firm.md#1]."),
    ("own words", True, "Glass is excluded from the warranty [oven.md#1]."),
    ("own words", True, "You must not swim close to the dam [lake.md#2]."),
    ("own words", True, "Boats with an engine are banned [lake.md#2]."),
    ("invented in part", False, "She spent her first years in Nigeria's biggest city, Lagos [chess.md#2]."),
    ("own words", True, "Before cleaning you have to take the racks out [oven.md#1]."),
    ("own words", True, "The door stays shut during the cleaning programme [oven.md#1]."),
    ("nothing said", True, "The passages do not say how much a second tablet costs."),
    ("nothing said", True, "I could not find anything about pets at the campsite."),
    ("nothing said", True, "There is no information on overtime in the handbook."),
    ("wrong number", False, "Full-time employees get 26 days of paid leave a year [leave.md#1]."),
    ("wrong number", False, "Up to six unused days can be carried over [leave.md#1]."),
    ("wrong number", False, "Requests are limited to 6,000 per minute [api.md#1]."),
    ("wrong number", False, "The maximum dose is 120 mg in 24 hours [pill.md#1]."),
    ("wrong number", False, "The oven heats up to 275 °C in nine minutes [oven.md#1]."),
    ("wrong unit", False, "The maximum dose is 80 g in 24 hours [pill.md#1]."),
    ("wrong unit", False, "Requests are limited to 600 per hour for each API key [api.md#1]."),
    ("wrong unit", False, "Parental leave is 16 days at full pay [leave.md#2]."),
    ("wrong unit", False, "The net loss was 6.5 billion dollars [firm.md#1]."),
    ("wrong unit", False, "Pyrolytic cleaning takes 2 minutes [oven.md#1]."),
    ("wrong date", False, "Unused days expire on 30 April [leave.md#1]."),
    ("wrong date", False, "Version 3 was deprecated in June 2025 [api.md#2]."),
    ("wrong date", False, "Tessel Foods acquired Molen in May 2020 [firm.md#2]."),
    ("wrong date", False, "Boats can be rented from May to September [lake.md#2]."),
    ("wrong name", False, "Okafor was born in Abuja [chess.md#2]."),
    ("wrong name", False, "The largest plant is in Gdansk [firm.md#1]."),
    ("wrong name", False, "The river Drava flows out of it [lake.md#1]."),
    ("wrong name", False, "Keys are created by developers under Settings [api.md#2]."),
    ("wrong passage", False, "Contractors are not entitled to paid leave [leave.md#1]."),
    ("wrong passage", False, "The largest plant is in Gdynia [firm.md#2]."),
    ("wrong passage", False, "Motor boats are prohibited [lake.md#1]."),
    ("wrong passage", False, "Test keys never charge a card [api.md#1]."),
    ("no citation", False, "Parental leave is 16 weeks at full pay."),
    ("no citation", False, "Webhooks do not count toward the limit."),
    ("invented", False, "Employees can sell unused leave back to the company [leave.md#1]."),
    ("invented", False, "Premium customers may ask for a higher quota [api.md#1]."),
    ("invented", False, "The tablets taste of peppermint [pill.md#1]."),
    ("invented", False, "Fishing licences are sold at the campsite reception [lake.md#2]."),
    ("invented", False, "Lind protested against the result [chess.md#1]."),
    ("invented", False, "The oven can be controlled by an app [oven.md#1]."),
    ("invented", False, "Molen was founded by two brothers [firm.md#2]."),
    ("invented in part", False, "Parental leave is 16 weeks at full pay and can be split into months [leave.md#2]."),
    ("invented in part", False, "Okafor was born in Lagos, where her father taught mathematics [chess.md#2]."),
    ("invented in part", False, "The warranty covers parts for three years and labour for one [oven.md#1]."),
    ("invented in part", False, "Tessel Foods employs 2,150 people, most of them women [firm.md#1]."),
    ("invented in part", False, "The server answers with status 429 and closes the connection [api.md#1]."),
    ("invented in part", False, "Most of its fish are trout, which anglers from abroad come for [lake.md#1]."),
    ("invented in part", False, "Adults take one tablet twice daily with food, never with milk [pill.md#1]."),
    ("invented reason", False, "Motor boats are prohibited because they disturb birds [lake.md#2]."),
    ("invented reason", False, "Test keys never charge a card, to save costs [api.md#2]."),
    ("negated", False, "Contractors are entitled to paid leave [leave.md#2]."),
    ("negated", False, "Webhooks count toward the limit [api.md#1]."),
    ("negated", False, "Keys can be recovered once the dialog is closed [api.md#2]."),
    ("negated", False, "The warranty covers glass [oven.md#1]."),
    ("negated", False, "Sick leave of more than three days does not require a doctor's note [leave.md#2]."),
    ("negated", False, "Motor boats are allowed on the lake [lake.md#2]."),
    ("negated", False, "Unused days cannot be carried over into the next year [leave.md#1]."),
    ("negated", False, "Corvadil may be combined with alcohol [pill.md#2]."),
    ("negated", False, "Take Corvadil without food [pill.md#1]."),
    ("negated", False, "Cleaning does not lock the door [oven.md#1]."),
    ("antonym", False, "Store it above 25 °C [pill.md#2]."),
    ("antonym", False, "Revenue was down 8 % from 2022 [firm.md#1]."),
    ("antonym", False, "The smallest plant is in Gdynia [firm.md#1]."),
    ("antonym", False, "Remove the racks after you start it [oven.md#1]."),
    ("antonym", False, "The minimum dose is 80 mg in 24 hours [pill.md#1]."),
    ("comparative", False, "Okafor became a grandmaster later than Lind [chess.md#2]."),
    ("comparative", False, "The lake is more than 100 metres deep [lake.md#1]."),
    ("comparative", False, "Tessel Foods has fewer than 2,000 employees [firm.md#1]."),
    ("quantifier", False, "All of the pitches have electricity [lake.md#2]."),
    ("quantifier", False, "All plants run on renewable electricity [firm.md#2]."),
    ("quantifier", False, "None of its fish are trout [lake.md#1]."),
    ("swapped", False, "Jonas Lind beat Mira Okafor in the final [chess.md#1]."),
    ("swapped", False, "Peter Aldous succeeded Dana Ruiz in 2020 [firm.md#2]."),
    ("swapped", False, "The bakery chain Molen acquired Tessel Foods in May 2021 [firm.md#2]."),
    ("swapped", False, "Version 3 replaced version 4 [api.md#2]."),
    ("swapped", False, "Parental leave is 28 days and paid leave 16 weeks [leave.md#1, leave.md#2]."),
    ("swapped", False, "Okafor won the tournament in 2016 and 2017 [chess.md#1]."),
    ("swapped", False, "It was approved in Canada in 2011 and in Norway two years later [pill.md#2]."),
    ("swapped", False, "Okafor moved to Lagos and was born in Tampere [chess.md#2]."),
    ("swapped", False, "Most of its fish are pike; trout were introduced in the 1930s [lake.md#1]."),
    ("swapped", False, "Lind became a grandmaster in 2014 [chess.md#2]."),
    ("swapped", False, "Rowing boats are prohibited, but motor boats can be rented [lake.md#2]."),
    ("wrong sum", False, "Three hours in a rowing boat cost 50 euros in total [lake.md#2]."),
    ("wrong sum", False, "Paid leave and five carried-over days make 35 days altogether [leave.md#1]."),
    ("hedge", False, "It is possible that the key is stored on disk [api.md#2]."),
    ("hedge", False, "According to the handbook, managers usually refuse leave in December [leave.md#1]."),
    ("list", False, "Leave at a glance:\n- paid leave: 28 days [leave.md#1]\n- study leave: 5 days [leave.md#1]"),
    (
        "list",
        False,
        "Boats:\n- rowing boats: 15 euros an hour [lake.md#2]\n- motor boats: 45 euros an hour [lake.md#2]",
    ),
]
"""Kind, whether it is grounded, and the claim."""
