"""The embedded store's tables and its longer statements."""

from components.contract.columns import COMPLETE, ENGAGEMENTS

# A trimmed or forgotten event leaves its position and the hash of its id, so that it counts once.
SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    position INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB NOT NULL UNIQUE, arrived REAL NOT NULL,
    event_id TEXT, associate_id TEXT, page_id TEXT, event_type TEXT, time REAL, row TEXT
);
CREATE INDEX IF NOT EXISTS log_associate ON log (associate_id) WHERE associate_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS visits (
    associate_id TEXT NOT NULL, page_id TEXT NOT NULL, time REAL NOT NULL, completed REAL,
    position INTEGER NOT NULL, touched REAL NOT NULL, PRIMARY KEY (associate_id, page_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS forgotten (associate_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
    position INTEGER PRIMARY KEY AUTOINCREMENT, request_id TEXT NOT NULL UNIQUE, arrived REAL NOT NULL,
    associate_id TEXT NOT NULL, time REAL NOT NULL, body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS answers_associate ON answers (associate_id, position);
CREATE TABLE IF NOT EXISTS claims (
    log TEXT PRIMARY KEY, settled INTEGER NOT NULL, reached INTEGER NOT NULL, name TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO claims VALUES ('log', 0, 0, ''), ('answers', 0, 0, '') ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS documents (key TEXT PRIMARY KEY, value BLOB NOT NULL, until REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lists (
    release TEXT NOT NULL, associate_id TEXT NOT NULL, value BLOB NOT NULL, UNIQUE (release, associate_id)
);
CREATE TABLE IF NOT EXISTS releases (release TEXT PRIMARY KEY, until REAL) WITHOUT ROWID;
"""
INSERT = """
INSERT INTO log (key, arrived, event_id, associate_id, page_id, event_type, time, row)
SELECT ?, ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM forgotten WHERE associate_id = ?)
ON CONFLICT (key) DO NOTHING
"""
VISITS = f"""
INSERT INTO visits
SELECT associate_id, page_id, time, iif(event_type = '{COMPLETE}', time, NULL), position, arrived
FROM log WHERE position > ? AND event_type IN ({",".join(f"'{kind}'" for kind in ENGAGEMENTS)})
ORDER BY position
ON CONFLICT (associate_id, page_id) DO UPDATE SET
    time = min(time, excluded.time),
    completed = max(ifnull(completed, excluded.completed), ifnull(excluded.completed, completed)),
    touched = excluded.touched
"""
# A visit keeps the position of the event that made it: that event was the first.
JOINED = "FROM log AS l LEFT JOIN visits AS v USING (associate_id, page_id)"
ENTRY = (
    f"l.position, event_id, associate_id, page_id, event_type, l.time, row, v.position IS l.position {JOINED}"
)
ANSWER = "request_id, associate_id, time, body FROM answers"
ERASE = "UPDATE log SET event_id=NULL, associate_id=NULL, page_id=NULL, event_type=NULL, time=NULL, row=NULL"
END = "SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = ?"
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
# Of servers before there was a log; who was forgotten lies in the same table as now.
OLD_EVENTS = (
    "SELECT event_id, associate_id, page_id, event_type, time, row FROM events ORDER BY time, event_id"
)
