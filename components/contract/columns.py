"""Names of columns, event types and stages, so that no module spells them twice."""

ASSOCIATE_ID = "associate_id"
PAGE_ID = "page_id"
EVENT_ID = "event_id"
EVENT_TYPE = "event_type"
TIMESTAMP = "timestamp"
DWELL = "dwell_seconds"
PROGRESS = "progress"
RATING = "rating"
REQUEST_ID = "request_id"
POSITION = "position"
RELEASE = "release"
REASON = "reason"

IMPRESSION = "impression"
VIEW = "view"
COMPLETE = "complete"
SKIP = "skip"
RATE = "rating"
LIKE = "like"
BOOKMARK = "bookmark"
COMMENT = "comment"
EVENT_TYPES = (IMPRESSION, VIEW, COMPLETE, SKIP, RATE, LIKE, BOOKMARK, COMMENT)
# Event types that show that an associate used a page; impressions and skips do not.
ENGAGEMENTS = (VIEW, COMPLETE, RATE, LIKE, BOOKMARK, COMMENT)

# Columns of the preprocessed dataset; the first two are row numbers in its tables.
ASSOCIATE = "associate"
PAGE = "page"
TIME = "time"
ORDINAL = "ordinal"
SESSION = "session"
STAGE = "stage"

# What an interaction is used for. A source fitted for stage s sees the rows of earlier stages only.
FIT, TRAIN, HOLDOUT = 0, 1, 2
EVERYTHING = 3

ASSOCIATE_ATTRIBUTES = ("role", "department", "store", "region", "shift", "cohort")
LOCALE = "locale"
# What eligibility and rules go by beside the attributes: no feature.
REQUEST_ATTRIBUTES = (*ASSOCIATE_ATTRIBUTES, LOCALE)
PAGE_ATTRIBUTES = ("topic", "format")
