"""The SQL that reads and writes a cassette's tables, and the numbers that identify such a file.

As text: the library that declares the tables takes an eighth of a second to load, and only making
a cassette needs it. A test prepares every statement against the tables, and refuses SQL elsewhere.
"""

#: Written to ``PRAGMA user_version``; a file with a higher one is refused.
SCHEMA_VERSION = 1
#: Written to ``PRAGMA application_id`` ("rply"); a file with another one is foreign.
APPLICATION_ID = 0x72706C79

#: The columns of a request without its answer, and the checksum, which tells if it is intact.
REQUEST_COLUMNS = (
    "id",
    "take_id",
    "fingerprint",
    "arrived_us",
    "method",
    "path",
    "query",
    "request_headers",
    "request_body",
    "checksum",
)
#: Every column of an interaction, in the order of the table.
COLUMNS = (
    *REQUEST_COLUMNS[:7],
    "model",
    "streams",
    "status",
    "media_type",
    "head_us",
    "total_us",
    "checksum",
    "request_headers",
    "response_headers",
    "timeline",
    "request_body",
    "body",
)

_COLUMNS = ", ".join(COLUMNS)
_INTERACTION = f"SELECT {_COLUMNS} FROM interaction"  # noqa: S608 - names of ours alone
READ_INTERACTION = f"{_INTERACTION} WHERE id = :id"
ALL_INTERACTIONS = f"{_INTERACTION} ORDER BY id"
PAGE_OF_INTERACTIONS = f"{ALL_INTERACTIONS} LIMIT :limit OFFSET :offset"
NEWEST_STREAMS = f"{_INTERACTION} WHERE streams = 1 ORDER BY id DESC LIMIT :limit"
PUT_INTERACTION = f"""
INSERT INTO interaction ({_COLUMNS})
VALUES ({", ".join(f":{name}" for name in COLUMNS)})
"""  # noqa: S608 - names of ours alone
#: The same for a row whose bodies, the last two columns, are written afterwards; it takes their
#: sizes in their place.
PUT_SIZES = PUT_INTERACTION.replace(":request_body", "zeroblob(:request_body)").replace(
    ":body", "zeroblob(:body)"
)
READ_SIZES = """
SELECT length(request_body), length(body), length(timeline) FROM interaction WHERE id = :id
"""
READ_IDENTITY = "SELECT take_id, fingerprint, status, body FROM interaction WHERE id = :id"
#: One id of a JSON array that is already a row's.
TAKEN_ID = """
SELECT value FROM json_each(:ids) WHERE EXISTS (SELECT 1 FROM interaction WHERE id = value) LIMIT 1
"""
DELETE_INTERACTION = "DELETE FROM interaction WHERE id = :id"

_REQUEST = f"SELECT {', '.join(REQUEST_COLUMNS)} FROM interaction"  # noqa: S608 - as above
READ_REQUEST = f"{_REQUEST} WHERE id = :id"
READ_REQUEST_SIZE = "SELECT fingerprint, length(request_body) FROM interaction WHERE id = :id"
ALL_REQUESTS = f"{_REQUEST} ORDER BY id"

ALL_TARGETS = "SELECT id, method, path, query FROM interaction ORDER BY id"
READ_CHECKSUM = "SELECT take_id, checksum FROM interaction WHERE id = :id"
ALL_STAMPS = "SELECT id, take_id, fingerprint, checksum FROM interaction ORDER BY fingerprint, id"
ALL_CHECKSUMS = "SELECT id, take_id, checksum FROM interaction ORDER BY id"
ALL_CHECKSUMS_NEWEST_FIRST = f"{ALL_CHECKSUMS} DESC"
HAS_CHECKSUM = "SELECT 1 FROM interaction WHERE id = :id AND checksum = :checksum"
ID_AT = "SELECT id FROM interaction ORDER BY id LIMIT 1 OFFSET :offset"
LAST_ID_OF = """
SELECT id FROM interaction WHERE fingerprint = :fingerprint ORDER BY take_id DESC, id DESC LIMIT 1
"""
NEWEST_IDS = "SELECT id FROM interaction WHERE id < :below ORDER BY id DESC LIMIT :limit"
#: From the index alone.
ALL_IDS = "SELECT id FROM interaction INDEXED BY interaction_by_fingerprint"
#: Row by row, so that ``StepLimit`` can interrupt it.
COUNT_IDS = "SELECT count(*) FROM interaction INDEXED BY interaction_by_fingerprint WHERE +id > 0"
#: Forty times as fast, but in one step, which never ends if the pages form a loop.
COUNT_IDS_AGAIN = "SELECT count(*) FROM interaction"
COUNT_INTERACTIONS = "SELECT count(*), count(DISTINCT fingerprint) FROM interaction"
#: Read something, so that SQLite opens the file, its journal, or takes a lock.
TOUCH_INTERACTIONS = "SELECT 1 FROM interaction LIMIT 1"
TOUCH_TAKES = "SELECT 1 FROM take LIMIT 1"
TOUCH_SCHEMA = "SELECT 1 FROM sqlite_master LIMIT 1"
CHECK_INTEGRITY = "PRAGMA integrity_check"

#: The answers to a fingerprint in its newest take.
_ANSWERS = """
FROM interaction
WHERE fingerprint = :fingerprint
  AND take_id = (SELECT max(take_id) FROM interaction WHERE fingerprint = :fingerprint)
"""
#: Up to ``limit`` of them, from number ``n`` on, counted from 0.
ANSWERS = f"SELECT id {_ANSWERS} ORDER BY id LIMIT :limit OFFSET :n"
COUNT_ANSWERS = f"SELECT count(*) {_ANSWERS}"
#: From the index alone: the answers to each fingerprint, take by take.
ALL_ANSWERS = "SELECT fingerprint, take_id, id FROM interaction ORDER BY fingerprint, take_id, id"
#: A page of the index, and whether replay can use each row, which is of the newest take.
CURRENT = """
SELECT fingerprint, take_id, id,
       take_id = (SELECT max(take_id) FROM interaction WHERE fingerprint = one.fingerprint)
FROM interaction AS one
WHERE (fingerprint, take_id, id) > (:key, :take, :id)
ORDER BY fingerprint, take_id, id LIMIT :limit
"""

ALL_TAKES = "SELECT id, run, started_us FROM take ORDER BY id"
FIND_TAKE = "SELECT id FROM take WHERE run = :run"
NEWEST_TAKE = "SELECT max(id) FROM take"
NEWEST_TAKE_OF = "SELECT max(take_id) FROM interaction WHERE fingerprint = :fingerprint"
INSERT_TAKE = "INSERT OR IGNORE INTO take (id, run, started_us) VALUES (:id, :run, :started_us)"
DELETE_EMPTY_TAKES = "DELETE FROM take WHERE id NOT IN (SELECT take_id FROM interaction)"

#: A setting of the index of words besides its version; a sound cassette has none.
INDEX_SETTING = "SELECT k FROM nearness_config WHERE k IS NOT 'version' LIMIT 1"
#: The size of the index of words.
INDEX_BYTES = "SELECT coalesce(sum(length(block)), 0) FROM nearness_data"
NEAR = "SELECT rowid FROM nearness WHERE nearness MATCH :feature LIMIT :limit"
HAS_FEATURE = "SELECT 1 FROM nearness WHERE nearness MATCH :feature AND rowid = :id"
#: For a row that is new: one that replaces itself has its words already.
PUT_NEARNESS = """
INSERT INTO nearness (rowid, features) VALUES (:id, :features)
"""
#: A contentless table has to be told which words to delete.
DELETE_NEARNESS = """
INSERT INTO nearness (nearness, rowid, features) VALUES ('delete', :id, :features)
"""
