"""What the academy is about: its topics with their words, its roles, departments and seasons."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """One subject of training.

    Attributes
    ----------
    name : str
    nouns, verbs : tuple of str
        The words that its texts are made of.
    subjects : tuple of str
        Narrower subjects; a learning path or a lone page is about one of them.
    """

    name: str
    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    subjects: tuple[str, ...]


def _topic(name: str, nouns: str, verbs: str, subjects: str) -> Topic:
    split = (tuple(part.strip() for part in text.split(",")) for text in (nouns, verbs, subjects))
    return Topic(name, *split)


TOPICS = (
    _topic(
        "welcome",
        "handbook, induction, locker, uniform, badge, rota, payslip, mentor, canteen, tour, noticeboard, "
        "probation",
        "introduce, welcome, enrol, shadow, sign in, meet, orient",
        "your first day, the name badge, reading the rota, finding a mentor, staff discount, the break "
        "room, the welcome tour, your payslip, probation goals, the values of the house",
    ),
    _topic(
        "workplace safety",
        "hazard, spillage, ladder, footwear, accident book, risk assessment, walkway, first aider, guard "
        "rail, injury, near miss, warning sign",
        "report, isolate, barricade, inspect, prevent, cordon off, assess",
        "wet floors, step ladders, the accident book, near misses, safe footwear, the cleaning cupboard, "
        "box cutters, risk assessment, lone working, first aid points",
    ),
    _topic(
        "fire and evacuation",
        "extinguisher, alarm, assembly point, fire door, marshal, evacuation, smoke, sprinkler, drill, "
        "exit route, call point, flame",
        "evacuate, sound, muster, extinguish, sweep, shut, account for",
        "fire doors, the assembly point, weekly alarm tests, kinds of extinguisher, the evacuation "
        "drill, sweeping the sales floor, call points, helping visitors out",
    ),
    _topic(
        "manual handling",
        "posture, load, pallet truck, lift, spine, knees, grip, roll cage, tail lift, weight limit, "
        "twist, trolley",
        "lift, push, carry, lower, bend, pivot, brace",
        "safe lifting, roll cages, the pallet truck, team lifts, heavy and awkward loads, the tail lift, "
        "pushing and pulling, stretching before the shift",
    ),
    _topic(
        "food hygiene",
        "bacteria, probe, fridge, temperature log, sanitiser, cross-contamination, hairnet, handwash, "
        "chilled chain, use-by date, chopping board, pest",
        "sanitise, probe, chill, rinse, swab, disinfect, discard",
        "temperature checks, hand washing, the four-hour rule, colour-coded boards, cleaning schedules, "
        "use-by dates, pest sightings, deep cleaning the fridge",
    ),
    _topic(
        "allergens",
        "gluten, sesame, nuts, label, ingredient list, allergy, cross-contact, recipe card, reaction, "
        "celery, sulphite, mustard",
        "label, declare, segregate, verify, disclose, warn, relabel",
        "the fourteen allergens, reading an ingredient list, answering allergy questions, cross-contact, "
        "pre-packed labels, recipe changes, a severe reaction",
    ),
    _topic(
        "bakery",
        "dough, oven, loaf, prover, crust, flour, croissant, baguette, tray, glaze, scoring blade, batch",
        "bake, prove, knead, glaze, score, cool, slice",
        "the morning bake, proving times, oven programmes, scoring loaves, finishing pastries, the "
        "slicer, bake-off planning, doughnuts and glazes, sourdough care",
    ),
    _topic(
        "produce",
        "apple, lettuce, ripeness, crate, misting, banana, shelf life, herb, bouquet, wilting, root "
        "vegetable, berry",
        "trim, mist, rotate, cull, crisp, ripen, hydrate",
        "banana colours, crisping leaves, the berry table, cut flowers, root vegetables, ripeness "
        "checks, misting and humidity, exotic fruit, seasonal squash",
    ),
    _topic(
        "meat and fish",
        "fillet, butcher, ice bed, knife, joint, brine, oyster, mince, scale, vacuum pack, cut, counter "
        "display",
        "fillet, bone, trim, weigh, marinate, portion, sharpen",
        "filleting a round fish, the ice bed, knife care, cuts of beef, shellfish checks, the mincer, "
        "portion weights, marinades, counter display",
    ),
    _topic(
        "checkout",
        "till, barcode, receipt, card reader, float, conveyor, voucher, scanner, coupon, cash drawer, "
        "queue, void",
        "scan, tender, void, bag, balance, weigh, key in",
        "balancing the float, card payments, vouchers and coupons, self-checkout help, queue calls, "
        "price checks, voids and corrections, gift cards, contactless limits, opening a till",
    ),
    _topic(
        "age-restricted sales",
        "alcohol, identification, birthday, tobacco, refusal, knife sale, proxy, licence, refusals log, "
        "hologram, lottery, solvent",
        "refuse, challenge, verify, decline, ask for, record, look for",
        "challenge under 25, accepted identification, the refusals log, proxy sales, knives and blades, "
        "lottery tickets, refusing politely, licensing hours",
    ),
    _topic(
        "returns",
        "refund, exchange, warranty, proof of purchase, credit note, fault, restock, tag, return desk, "
        "repair, policy window, original packaging",
        "refund, exchange, test, authorise, restock, log, credit",
        "refund without a receipt, faulty goods, exchanges, online returns in store, warranty claims, "
        "gift receipts, the return desk, refurbished stock",
    ),
    _topic(
        "customer service",
        "greeting, smile, request, loyalty card, feedback, eye contact, recommendation, shopper, tone, "
        "courtesy, special order, help point",
        "greet, listen, recommend, guide, offer, follow up, delight",
        "the first greeting, loyalty sign-ups, special orders, listening well, accessible service, "
        "answering the phone, closing a sale, surprise and delight",
    ),
    _topic(
        "difficult situations",
        "complaint, apology, aggression, de-escalation, witness, empathy, escalation, incident, calm, "
        "boundary, body language, abuse",
        "defuse, apologise, de-escalate, acknowledge, step back, summon, resolve",
        "the angry customer, saying sorry, de-escalation, when to step away, complaints by letter, "
        "support after an incident, abusive calls, calming a queue",
    ),
    _topic(
        "merchandising",
        "planogram, endcap, facing, mannequin, price ticket, display, theme, signage, focal point, "
        "gondola, prop, window",
        "display, face up, dress, build, ticket, theme, refresh",
        "reading a planogram, building an endcap, price tickets, dressing a window, facing up, colour "
        "blocking, promotional tables, signage standards, clip strips",
    ),
    _topic(
        "replenishment",
        "shelf, gap scan, stockroom, capacity, rotation, case, overstock, night fill, date code, shelf "
        "edge, dolly, backstock",
        "replenish, rotate, fill, pull, work, decant, date check",
        "gap scanning, first in first out, night fill, working the overstock, date codes, promotional "
        "fill, stockroom layout, shelf-edge labels, ambient cages",
    ),
    _topic(
        "receiving",
        "delivery note, dock, lorry, seal, pallet, manifest, forklift, discrepancy, bay, driver, "
        "consignment, wrap",
        "unload, receive, seal, count, reject, sign for, palletise",
        "checking a seal, the delivery note, dock safety, short deliveries, rejecting chilled loads, "
        "forklift zones, night deliveries, pallet control",
    ),
    _topic(
        "stock accuracy",
        "cycle count, inventory, variance, shrink, adjustment, book stock, handheld, audit, write-off, "
        "location, negative stock, ledger",
        "count, adjust, reconcile, audit, trace, correct, investigate",
        "cycle counts, negative stock, stock adjustments, the annual count, locating lost cases, waste "
        "recording, handheld terminals, variance reports",
    ),
    _topic(
        "online orders",
        "picker, substitution, tote, order slot, pick rate, parcel, app, collection point, route, "
        "packing station, bag seal, wave",
        "pick, substitute, pack, scan out, dispatch, hand over, batch",
        "choosing substitutions, pick rates, packing a tote, click and collect, the collection point, "
        "fragile items, order slots, frozen picks, courier handover",
    ),
    _topic(
        "electronics",
        "laptop, battery, router, cable, screen size, warranty plan, headset, memory card, setup, "
        "charger, smart speaker, trade-in",
        "demonstrate, pair, charge, compare, configure, install, upgrade",
        "choosing a laptop, smart home basics, phone contracts, television sizes, trade-ins, headphones, "
        "battery safety, demonstration units, gaming consoles",
    ),
    _topic(
        "clothing",
        "fabric, fitting room, hanger, size chart, seam, denim, tape measure, care label, collection, "
        "wardrobe, footwear size, hem",
        "fit, fold, steam, measure, style, hang, alter",
        "measuring for fit, fitting rooms, fabric care, folding tables, school uniform, winter coats, "
        "styling an outfit, shoe fitting, security tags on garments",
    ),
    _topic(
        "loss prevention",
        "theft, camera, tag, detacher, suspect, fraud, counterfeit note, bag check, guard, stock loss, "
        "radio, evidence",
        "deter, observe, detect, tag, secure, deny, report",
        "spotting theft, counterfeit notes, tagging high-value goods, refund fraud, gift card scams, "
        "radio calls, key control, evidence and statements",
    ),
    _topic(
        "data protection",
        "password, phishing, personal data, privacy, breach, consent, encryption, screen lock, "
        "retention, subject request, link, confidentiality",
        "encrypt, lock, shred, anonymise, consent, report, protect",
        "spotting phishing, strong passwords, customer records, a data breach, confidential waste, "
        "social media at work, subject requests, clear desks",
    ),
    _topic(
        "leading a team",
        "huddle, coaching, feedback talk, target, delegation, absence, objective, appraisal, roster, "
        "morale, one-to-one, vision",
        "coach, delegate, motivate, plan, appraise, recognise, brief",
        "the morning huddle, giving feedback, planning a roster, absence talks, setting objectives, "
        "delegation, recognising good work, coaching on the floor, first-time leaders",
    ),
)
TOPIC_INDEX = {topic.name: number for number, topic in enumerate(TOPICS)}
INDUCTION = TOPIC_INDEX["welcome"]
COMPLIANCE = (
    "workplace safety",
    "fire and evacuation",
    "manual handling",
    "food hygiene",
    "allergens",
    "age-restricted sales",
    "data protection",
    "loss prevention",
)

# Name, share of the workforce, topics at the heart of the job, shares of early, late and night shift.
ROLES: tuple[tuple[str, float, tuple[str, ...], tuple[float, float, float]], ...] = (
    ("sales assistant", 0.28, ("customer service", "merchandising", "electronics", "clothing"),
     (0.5, 0.5, 0.0)),
    ("cashier", 0.22, ("checkout", "age-restricted sales", "returns", "customer service"), (0.5, 0.5, 0.0)),
    ("stock associate", 0.17, ("replenishment", "receiving", "manual handling", "stock accuracy"),
     (0.3, 0.2, 0.5)),
    ("fresh food associate", 0.11, ("bakery", "produce", "meat and fish", "food hygiene"), (0.7, 0.25, 0.05)),
    ("online picker", 0.09, ("online orders", "replenishment", "produce", "stock accuracy"), (0.6, 0.2, 0.2)),
    ("service desk associate", 0.06,
     ("returns", "difficult situations", "customer service", "data protection"), (0.5, 0.5, 0.0)),
    ("team leader", 0.05, ("leading a team", "difficult situations", "stock accuracy", "workplace safety"),
     (0.45, 0.35, 0.2)),
    ("store manager", 0.02, ("leading a team", "loss prevention", "data protection", "stock accuracy"),
     (0.7, 0.3, 0.0)),
)  # fmt: skip
# Name, topics, and how likely each role (in the order above) works there.
DEPARTMENTS: tuple[tuple[str, tuple[str, ...], tuple[float, ...]], ...] = (
    ("front end", ("checkout", "returns", "customer service"), (0.05, 0.90, 0, 0, 0, 0.9, 0.2, 0.2)),
    (
        "grocery",
        ("replenishment", "age-restricted sales", "stock accuracy"),
        (0.2, 0.05, 0.5, 0, 0.2, 0, 0.2, 0.2),
    ),
    ("fresh", ("bakery", "produce", "meat and fish", "allergens"), (0.05, 0.0, 0.1, 1.0, 0.1, 0, 0.2, 0.1)),
    ("electronics", ("electronics", "loss prevention", "returns"), (0.25, 0.0, 0.05, 0, 0, 0.05, 0.1, 0.1)),
    ("clothing", ("clothing", "merchandising"), (0.3, 0.05, 0.05, 0, 0, 0.05, 0.1, 0.1)),
    ("home and garden", ("merchandising", "produce", "manual handling"), (0.15, 0.0, 0.1, 0, 0, 0, 0.1, 0.1)),
    ("online", ("online orders", "data protection"), (0.0, 0.0, 0.0, 0, 0.7, 0, 0.05, 0.1)),
    ("warehouse", ("receiving", "manual handling", "stock accuracy"), (0.0, 0.0, 0.2, 0, 0, 0, 0.05, 0.1)),
)
REGIONS = ("North", "South", "East", "West", "Midlands", "Coast")
SHIFTS = ("early", "late", "night")
# Name, share, median seconds.
FORMATS: tuple[tuple[str, float, float], ...] = (
    ("video", 0.30, 240.0),
    ("article", 0.28, 150.0),
    ("quiz", 0.14, 120.0),
    ("checklist", 0.10, 60.0),
    ("simulation", 0.08, 420.0),
    ("news", 0.10, 60.0),
)
# Name, month and day of its height, days it lasts about, topics that it lifts. They come every year.
SEASONS: tuple[tuple[str, int, int, float, tuple[str, ...]], ...] = (
    ("winter sale", 1, 6, 6, ("returns", "clothing", "merchandising")),
    ("Valentine's Day", 2, 12, 4, ("produce", "merchandising")),
    ("spring garden", 4, 10, 8, ("produce", "manual handling")),
    ("Easter bake", 4, 1, 5, ("bakery", "allergens")),
    ("summer grill", 6, 25, 10, ("meat and fish", "food hygiene")),
    ("holiday hiring", 7, 15, 10, ("welcome", "leading a team")),
    ("back to school", 9, 4, 6, ("clothing", "electronics")),
    ("harvest", 9, 26, 6, ("produce", "bakery")),
    ("Halloween", 10, 26, 5, ("merchandising", "age-restricted sales")),
    ("Black Friday", 11, 25, 5, ("electronics", "online orders", "difficult situations")),
    ("Christmas", 12, 15, 9, ("online orders", "meat and fish", "age-restricted sales", "checkout")),
)
# {s} is the subject, {n} {m} nouns and {v} {w} verbs of the topic, {a} an adverb, {p} a place.
SENTENCES = (
    "Before you {v} the {n}, check the {m} and tell a colleague.",
    "This page is about {s} and shows how to {v} the {n} {a}.",
    "When {s} comes up, look at the {n} first, then {w} the {m}.",
    "A clean {n} makes it easy to {v} every {m} {p}.",
    "Never {v} a {n} while the {m} is out of place.",
    "Ask your team leader to {w} the {n} with you {p}.",
    "Most questions about {s} start with the {n} or the {m}.",
    "Take two minutes {p} to {v} the {n} and note what you see.",
    "If the {n} looks wrong, stop, {w} the {m} and ask for help.",
    "Good work with the {n} saves time and keeps the {m} ready.",
    "You will learn to {v}, to {w} and to explain the {n} {a}.",
    "Write down each {n} that you {v}, with the time and your name.",
    "Think of {s}: which {n} would you {w} first, and why?",
    "The three steps are simple: {v} the {n}, {w} the {m}, tidy up {p}.",
    "Our customers notice the {n} long before they see the {m}.",
    "Practise {p} until you can {v} the {n} {a}.",
    "In short, {s} means that you {v} the {m} and never forget the {n}.",
    "Keep the {n} within reach, so that you can {w} it {a}.",
)
ADVERBS = (
    "calmly",
    "safely",
    "quickly",
    "with care",
    "every time",
    "without fuss",
    "step by step",
    "as a team",
)
PLACES = (
    "on the shop floor",
    "in the stockroom",
    "before opening",
    "at handover",
    "during a busy hour",
    "at the end of the shift",
    "in your store",
    "with a colleague",
)
TITLES = (
    "{s}: the basics",
    "{s} step by step",
    "{v} the {n}: {s}",
    "{s} and the {n}",
    "Five minutes on {s}",
    "What to know about {s}",
    "{s}: common mistakes",
    "{s}, {n} and {m}",
)
