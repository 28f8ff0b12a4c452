PRAGMA application_id=1835951469;
PRAGMA user_version=2;
BEGIN TRANSACTION;
CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        seq INTEGER NOT NULL,
        key BLOB NOT NULL UNIQUE,
        partition_id INTEGER NOT NULL REFERENCES partitions (id),
        query TEXT NOT NULL,
        payload BLOB NOT NULL,
        codec TEXT NOT NULL,
        metadata TEXT NOT NULL,
        tags TEXT NOT NULL,
        expires_at REAL,
        compute_seconds REAL NOT NULL
    );
INSERT INTO "entries" VALUES(1,1,X'6B86B273FF34FCE19D6B804EFF5A3F5747ADA4EAA22F1D49C01E52DDB7875B4B',1,'question 1',X'616E737765722031','str','','["old"]',NULL,0.5);
INSERT INTO "entries" VALUES(2,2,X'D4735E3A265E16EEE03F59718B9B5D03019C07D8B6C51F90DA3A666EEC13AB35',1,'question 2',X'616E737765722032','str','','',NULL,0.0);
CREATE TABLE facts (
        id INTEGER PRIMARY KEY REFERENCES entries (id),
        namespace_id INTEGER NOT NULL,
        partition_id INTEGER NOT NULL,
        created_at REAL NOT NULL,
        accessed_at REAL NOT NULL,
        removable_at REAL,
        size INTEGER NOT NULL
    );
INSERT INTO "facts" VALUES(1,1,1,1001.0,5000.0,NULL,18);
INSERT INTO "facts" VALUES(2,1,1,1002.0,2002.0,NULL,18);
CREATE TABLE meta (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        fingerprint TEXT,
        dim INTEGER,
        forgotten INTEGER NOT NULL DEFAULT 0
    , mark TEXT);
INSERT INTO "meta" VALUES(1,'contract-embedder',8,0,NULL);
CREATE TABLE namespaces (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        hits_exact INTEGER NOT NULL DEFAULT 0,
        hits_semantic INTEGER NOT NULL DEFAULT 0,
        misses INTEGER NOT NULL DEFAULT 0,
        evictions INTEGER NOT NULL DEFAULT 0,
        expirations INTEGER NOT NULL DEFAULT 0,
        seconds_saved REAL NOT NULL DEFAULT 0
    );
INSERT INTO "namespaces" VALUES(1,'main',1,2,3,4,5,6.5);
CREATE TABLE partitions (
        id INTEGER PRIMARY KEY,
        digest BLOB NOT NULL UNIQUE,
        namespace_id INTEGER NOT NULL REFERENCES namespaces (id),
        scope TEXT NOT NULL
    );
INSERT INTO "partitions" VALUES(1,X'6403203DD5A0867EB14D104EE8A73730',1,'');
CREATE TABLE tags (
        tag TEXT NOT NULL,
        entry_id INTEGER NOT NULL REFERENCES entries (id),
        PRIMARY KEY (tag, entry_id)
    ) WITHOUT ROWID;
INSERT INTO "tags" VALUES('old',1);
CREATE TABLE tombstones (
        seq INTEGER PRIMARY KEY,
        id INTEGER NOT NULL,
        key BLOB NOT NULL
    );
CREATE TABLE vectors (
        id INTEGER PRIMARY KEY REFERENCES entries (id),
        partition_id INTEGER NOT NULL,
        vector BLOB NOT NULL
    );
INSERT INTO "vectors" VALUES(1,1,X'61B82B3E5F21CC3E9331243E5AE221BF58EFE03E84CD5D3ED56785BEDA60903E');
INSERT INTO "vectors" VALUES(2,1,X'1774623D6C8A1CBEBC63F7BD56C736BFD8BB063F7450AB3E7CE6C2BDCBB8673E');
CREATE UNIQUE INDEX entries_replaced ON entries (seq) WHERE seq > id;
CREATE INDEX facts_accessed ON facts (namespace_id, accessed_at);
CREATE INDEX facts_removable ON facts (removable_at) WHERE removable_at IS NOT NULL;
CREATE INDEX tags_of_entry ON tags (entry_id);
COMMIT;
