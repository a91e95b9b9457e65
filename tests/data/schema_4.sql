-- The store of an embedded Nucleus.
--
-- Each section below makes a store of the version before one of its own version; a new store goes through all of them.
-- Statements are parted by empty lines.
--
-- Rows are found by small integers; public ids (ds_…, di_…) are made from them and from a dataset's random tag.
-- Random text as a leading index column would cut ingest to a quarter.

-- Version 1: datasets, annotations, models, runs, jobs

CREATE TABLE dataset (
    id INTEGER PRIMARY KEY AUTOINCREMENT,      -- below 2^31; never used twice, since item ids contain it
    tag TEXT NOT NULL UNIQUE,                  -- 12 hexadecimal digits: ds_<tag>
    name TEXT NOT NULL,
    is_scene INTEGER NOT NULL,
    use_privacy_mode INTEGER NOT NULL,
    annotation_metadata_schema TEXT,
    item_metadata_schema TEXT,
    created_at TEXT NOT NULL,
    length INTEGER NOT NULL DEFAULT 0,         -- items that are there
    positions INTEGER NOT NULL DEFAULT 0,      -- positions ever given; the next item gets this one
    arrivals INTEGER NOT NULL DEFAULT 0,       -- annotations ever stored
    revision INTEGER NOT NULL DEFAULT 0,       -- changes of items or annotations
    deleted INTEGER NOT NULL DEFAULT 0         -- nobody sees it any more; its rows are being removed
) STRICT;

CREATE INDEX dataset_name ON dataset (name);

CREATE INDEX dataset_deleted ON dataset (deleted) WHERE deleted;

CREATE TABLE item (
    id INTEGER PRIMARY KEY,                    -- dataset << 32 | position
    dataset INTEGER NOT NULL REFERENCES dataset,
    reference_id TEXT NOT NULL,
    url TEXT,                                  -- of an image that stays where it is
    file TEXT,                                 -- of an uploaded image, relative to images/
    width INTEGER,
    height INTEGER,
    metadata TEXT,                             -- JSON object
    extra TEXT,                                -- JSON object: pointcloud_url, embedding_info
    UNIQUE (dataset, reference_id)
) STRICT;

CREATE INDEX item_file ON item (file) WHERE file IS NOT NULL;

-- Deleted items leave their position empty. Each row counts the empty positions of one block of positions; blocks of
-- level n hold 64^n positions. Blocks without holes have no row, so appending writes nothing here.
CREATE TABLE hole (
    dataset INTEGER NOT NULL REFERENCES dataset,
    level INTEGER NOT NULL,
    block INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (dataset, level, block)
) STRICT, WITHOUT ROWID;

-- Clustered by item, then by arrival: the order in which annotations are read back.
CREATE TABLE annotation (
    item INTEGER NOT NULL REFERENCES item,
    arrival INTEGER NOT NULL,
    key TEXT NOT NULL,                         -- annotation_id, or what makes a mask or a category unique in its item
    type TEXT NOT NULL,
    label TEXT,
    x REAL,
    y REAL,
    width REAL,
    height REAL,
    geometry TEXT,                             -- JSON object of every shape that is no box
    confidence REAL,
    metadata TEXT,                             -- JSON object
    extra TEXT,                                -- JSON object of the fields that few annotations have
    PRIMARY KEY (item, arrival)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX annotation_key ON annotation (item, key);

CREATE TABLE model (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tag TEXT NOT NULL UNIQUE,                  -- prj_<tag>
    name TEXT NOT NULL,
    reference_id TEXT NOT NULL UNIQUE,
    metadata TEXT,
    bundle_name TEXT,
    tags TEXT NOT NULL DEFAULT '[]',           -- JSON array
    trained_slice_ids TEXT NOT NULL DEFAULT '[]',
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tag TEXT NOT NULL UNIQUE,                  -- run_<tag>
    model INTEGER REFERENCES model,            -- null only while a deleted run is being removed
    dataset INTEGER REFERENCES dataset,        -- null: the run spans datasets
    name TEXT,
    metadata TEXT,
    annotation_metadata_schema TEXT,
    created_at TEXT NOT NULL,
    arrivals INTEGER NOT NULL DEFAULT 0,
    committed_at TEXT,                         -- not null: frozen
    parameters TEXT,                           -- JSON object: how it was matched
    content TEXT,                              -- hash of the ground truth and the predictions that were matched
    deleted INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX run_dataset ON run (dataset);

CREATE INDEX run_model ON run (model);

CREATE INDEX run_deleted ON run (deleted) WHERE deleted;

-- As annotation. No foreign key to item: looking up the predictions of an item without its run would need one more
-- index over every row; whoever deletes items deletes their predictions run by run.
CREATE TABLE prediction (
    run INTEGER NOT NULL REFERENCES run,
    item INTEGER NOT NULL,
    arrival INTEGER NOT NULL,
    key TEXT NOT NULL,
    type TEXT NOT NULL,
    label TEXT,
    x REAL,
    y REAL,
    width REAL,
    height REAL,
    geometry TEXT,
    confidence REAL,
    metadata TEXT,
    extra TEXT,
    PRIMARY KEY (run, item, arrival)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX prediction_key ON prediction (run, item, key);

-- What a commit found: a row for each pair, each prediction and each ground truth left alone. Values are copied, since
-- the ground truth may change later. No IoU threshold is applied.
CREATE TABLE match (
    run INTEGER NOT NULL REFERENCES run,
    item INTEGER NOT NULL,
    number INTEGER NOT NULL,
    annotation_id TEXT,
    prediction_id TEXT,
    label TEXT,
    predicted_label TEXT,
    confidence REAL,
    iou REAL,
    agrees INTEGER NOT NULL,                   -- whether the labels of a pair are equal or allowed
    PRIMARY KEY (run, item, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE job (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tag TEXT NOT NULL UNIQUE,                  -- job_<tag>
    type TEXT NOT NULL,
    dataset INTEGER,
    status TEXT NOT NULL,
    message TEXT NOT NULL DEFAULT '{}',        -- JSON object
    done INTEGER NOT NULL DEFAULT 0,           -- steps
    total INTEGER NOT NULL DEFAULT 1,
    created_at TEXT NOT NULL,
    owner TEXT,                                -- process that works on it
    heartbeat REAL                             -- seconds since the epoch
) STRICT;

CREATE TABLE job_error (
    job INTEGER NOT NULL REFERENCES job,
    number INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE upload (
    dataset INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    token TEXT NOT NULL UNIQUE,                -- what makes the signed URL unguessable
    expires_at REAL NOT NULL,                  -- seconds since the epoch
    file TEXT,                                 -- in uploads/; null until the first PUT
    job INTEGER REFERENCES job,                -- not null: consumed
    PRIMARY KEY (dataset, request_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    key TEXT NOT NULL,
    request TEXT NOT NULL,                     -- hash of method, path and body
    response BLOB NOT NULL,
    created_at REAL NOT NULL,
    PRIMARY KEY (key)
) STRICT, WITHOUT ROWID;

-- Files that a row named until it was deleted or replaced. Whoever finds one here removes the file, unless another row
-- names it.
CREATE TABLE released (
    kind TEXT NOT NULL,                        -- 'images' or 'masks'
    file TEXT NOT NULL,
    PRIMARY KEY (kind, file)
) STRICT, WITHOUT ROWID;

CREATE INDEX annotation_mask ON annotation (json_extract(extra, '$.mask_file')) WHERE type = 'mask';

CREATE INDEX prediction_mask ON prediction (json_extract(extra, '$.mask_file')) WHERE type = 'mask';

CREATE TRIGGER item_deleted AFTER DELETE ON item WHEN old.file IS NOT NULL BEGIN
    INSERT OR IGNORE INTO released VALUES ('images', old.file);
END;

CREATE TRIGGER item_replaced AFTER UPDATE OF file ON item WHEN old.file IS NOT NULL AND old.file IS NOT new.file BEGIN
    INSERT OR IGNORE INTO released VALUES ('images', old.file);
END;

CREATE TRIGGER annotation_deleted AFTER DELETE ON annotation
WHEN old.type = 'mask' AND json_extract(old.extra, '$.mask_file') IS NOT NULL BEGIN
    INSERT OR IGNORE INTO released VALUES ('masks', json_extract(old.extra, '$.mask_file'));
END;

CREATE TRIGGER annotation_replaced AFTER UPDATE OF extra ON annotation
WHEN old.type = 'mask' AND json_extract(old.extra, '$.mask_file') IS NOT NULL BEGIN
    INSERT OR IGNORE INTO released VALUES ('masks', json_extract(old.extra, '$.mask_file'));
END;

CREATE TRIGGER prediction_deleted AFTER DELETE ON prediction
WHEN old.type = 'mask' AND json_extract(old.extra, '$.mask_file') IS NOT NULL BEGIN
    INSERT OR IGNORE INTO released VALUES ('masks', json_extract(old.extra, '$.mask_file'));
END;

CREATE TRIGGER prediction_replaced AFTER UPDATE OF extra ON prediction
WHEN old.type = 'mask' AND json_extract(old.extra, '$.mask_file') IS NOT NULL BEGIN
    INSERT OR IGNORE INTO released VALUES ('masks', json_extract(old.extra, '$.mask_file'));
END;

-- Version 2: evaluations and benchmarks

CREATE TABLE benchmark (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tag TEXT NOT NULL UNIQUE,                  -- bm_<tag>
    name TEXT NOT NULL,
    description TEXT,
    metadata TEXT,                             -- JSON object
    parent TEXT,                               -- tag of the benchmark that this one is a version of; it may be gone
    version_major INTEGER NOT NULL,
    version_minor INTEGER NOT NULL,
    version_label TEXT,
    draft INTEGER NOT NULL,                    -- its items may still change, and it cannot be evaluated
    skipped INTEGER NOT NULL DEFAULT 0,        -- items that were left out, having no ground truth
    rollup_groups TEXT,                        -- JSON array
    class_agnostic INTEGER,
    created_at TEXT NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX benchmark_deleted ON benchmark (deleted) WHERE deleted;

CREATE TABLE benchmark_item (
    benchmark INTEGER NOT NULL REFERENCES benchmark,
    item INTEGER NOT NULL,
    PRIMARY KEY (benchmark, item)
) STRICT, WITHOUT ROWID;

CREATE INDEX benchmark_item_item ON benchmark_item (item);

CREATE TRIGGER benchmark_item_deleted AFTER DELETE ON item BEGIN
    DELETE FROM benchmark_item WHERE item = old.id;
END;

-- Status, owner and heartbeat are those of its job.
CREATE TABLE evaluation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tag TEXT NOT NULL UNIQUE,                  -- evalv2_<tag>
    model INTEGER REFERENCES model,            -- null only while a deleted evaluation is being removed
    run INTEGER,                               -- null: the newest run of the model on each dataset
    benchmark INTEGER,                         -- null: the datasets of the run
    name TEXT,
    request TEXT NOT NULL,                     -- JSON object: labels and exclusions as they were asked for
    job INTEGER NOT NULL REFERENCES job,
    created_at TEXT NOT NULL,
    parameters TEXT,                           -- JSON object: matcher and engine, with which parameters
    results TEXT,                              -- JSON object: what the engine computed
    exclusions TEXT,                           -- JSON object: how much the exclusion rules left out
    content TEXT,                              -- hash of the ground truth and the predictions that were evaluated
    stale INTEGER NOT NULL DEFAULT 0,          -- as of the revisions in evaluation_source
    deleted INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX evaluation_model ON evaluation (model);

CREATE INDEX evaluation_run ON evaluation (run) WHERE run IS NOT NULL;

CREATE INDEX evaluation_benchmark ON evaluation (benchmark) WHERE benchmark IS NOT NULL;

CREATE INDEX evaluation_deleted ON evaluation (deleted) WHERE deleted;

CREATE TRIGGER evaluation_hidden AFTER UPDATE OF deleted ON evaluation WHEN new.deleted BEGIN
    UPDATE job SET status = 'Cancelled', done = total WHERE id = new.job AND status = 'Running';
END;

CREATE TRIGGER evaluated_model_deleted BEFORE DELETE ON model BEGIN
    UPDATE evaluation SET deleted = 1, model = NULL WHERE model = old.id;
END;

CREATE TRIGGER evaluated_run_hidden AFTER UPDATE OF deleted ON run WHEN new.deleted BEGIN
    UPDATE evaluation SET deleted = 1 WHERE run = new.id;
END;

CREATE TRIGGER evaluated_benchmark_hidden AFTER UPDATE OF deleted ON benchmark WHEN new.deleted BEGIN
    UPDATE evaluation SET deleted = 1 WHERE benchmark = new.id;
END;

-- The datasets whose items were evaluated, and the run whose predictions were. The revision and the arrivals are those
-- at which the content hash was compared last: while they are the same, so is the hash.
CREATE TABLE evaluation_source (
    evaluation INTEGER NOT NULL REFERENCES evaluation,
    dataset INTEGER NOT NULL,
    dataset_tag TEXT NOT NULL,
    run INTEGER,                               -- null: no predictions there
    run_tag TEXT,
    revision INTEGER NOT NULL,
    arrivals INTEGER NOT NULL,
    PRIMARY KEY (evaluation, dataset)
) STRICT, WITHOUT ROWID;

-- As match, for an evaluation: after its exclusions, with the boxes and with both the stored label and the class that
-- it was evaluated as.
CREATE TABLE evaluation_match (
    evaluation INTEGER NOT NULL REFERENCES evaluation,
    item INTEGER NOT NULL,
    number INTEGER NOT NULL,
    annotation_id TEXT,
    prediction_id TEXT,
    label TEXT,
    predicted_label TEXT,
    class TEXT,
    predicted_class TEXT,
    confidence REAL,
    iou REAL,
    agrees INTEGER NOT NULL,
    crowd INTEGER NOT NULL,                    -- ground truth of a crowd: it is never an outcome
    tide TEXT,                                 -- what TIDE says of the prediction; null: it was not looked at
    missed INTEGER NOT NULL,                   -- whether TIDE says that the ground truth was missed
    x REAL,
    y REAL,
    width REAL,
    height REAL,
    predicted_x REAL,
    predicted_y REAL,
    predicted_width REAL,
    predicted_height REAL,
    PRIMARY KEY (evaluation, item, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE preset (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tag TEXT NOT NULL UNIQUE,                  -- prev_<tag>
    name TEXT NOT NULL UNIQUE,
    rollup_groups TEXT,                        -- JSON array
    exclusion_rules TEXT,                      -- JSON array
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

-- Version 3: images that arrive before their items, slices, taxonomies, tags, predictions without a run

-- Files that were sent and that no row names yet. Nobody removes one that is here, until it has waited too long.
CREATE TABLE waiting (
    kind TEXT NOT NULL,                        -- 'images' or 'masks'
    file TEXT NOT NULL,
    count INTEGER NOT NULL,                    -- how often it was sent, less how often that was made use of
    since REAL NOT NULL,                       -- seconds since the epoch, when it was sent last
    width INTEGER,
    height INTEGER,
    PRIMARY KEY (kind, file)
) STRICT, WITHOUT ROWID;

CREATE INDEX waiting_since ON waiting (since);

-- Slices

CREATE TABLE slice (
    id INTEGER PRIMARY KEY AUTOINCREMENT,      -- below 2^31, as that of a dataset
    tag TEXT NOT NULL UNIQUE,                  -- slc_<tag>
    dataset INTEGER NOT NULL REFERENCES dataset,
    name TEXT NOT NULL,
    tags TEXT NOT NULL DEFAULT '[]',           -- JSON array
    created_at TEXT NOT NULL,
    length INTEGER NOT NULL DEFAULT 0,         -- items that are in it
    positions INTEGER NOT NULL DEFAULT 0,      -- positions ever given
    deleted INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE UNIQUE INDEX slice_name ON slice (dataset, name) WHERE NOT deleted;

CREATE INDEX slice_deleted ON slice (deleted) WHERE deleted;

CREATE TABLE slice_item (
    place INTEGER PRIMARY KEY,                 -- slice << 32 | position
    item INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX slice_item_item ON slice_item (item, place >> 32);

-- As hole, for the items that were deleted while they were in a slice.
CREATE TABLE slice_hole (
    slice INTEGER NOT NULL REFERENCES slice,
    level INTEGER NOT NULL,
    block INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (slice, level, block)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER slice_item_deleted AFTER DELETE ON item
WHEN EXISTS (SELECT 1 FROM slice_item WHERE item = old.id) BEGIN
    INSERT INTO slice_hole (slice, level, block, count)
        SELECT place >> 32, column1, (place & 0xFFFFFFFF) >> (6 * column1), 1
        FROM slice_item, (VALUES (1), (2), (3), (4)) WHERE item = old.id
        ON CONFLICT (slice, level, block) DO UPDATE SET count = count + 1;
    UPDATE slice SET length = length - 1 WHERE id IN (SELECT place >> 32 FROM slice_item WHERE item = old.id);
    DELETE FROM slice_item WHERE item = old.id;
END;

CREATE TRIGGER sliced_dataset_hidden AFTER UPDATE OF deleted ON dataset WHEN new.deleted BEGIN
    UPDATE slice SET deleted = 1 WHERE dataset = new.id;
END;

-- Taxonomies, tags of datasets, predictions without a run

CREATE TABLE taxonomy (
    dataset INTEGER NOT NULL REFERENCES dataset ON DELETE CASCADE,
    name TEXT NOT NULL,
    type TEXT NOT NULL,                        -- 'category' or 'multicategory'
    labels TEXT NOT NULL,                      -- JSON array, in the order in which they came
    PRIMARY KEY (dataset, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE dataset_tag (
    dataset INTEGER NOT NULL REFERENCES dataset ON DELETE CASCADE,
    tag TEXT NOT NULL,
    number INTEGER NOT NULL,                   -- the order in which they came
    PRIMARY KEY (dataset, tag)
) STRICT, WITHOUT ROWID;

-- Predictions that belong to a model and to no run lie in one that nobody sees.
CREATE TABLE free_run (
    model INTEGER PRIMARY KEY REFERENCES model ON DELETE CASCADE,
    run INTEGER NOT NULL UNIQUE
) STRICT;

-- Version 4: journals of uploads learn of deletions

CREATE TABLE generation (
    dataset INTEGER PRIMARY KEY REFERENCES dataset ON DELETE CASCADE,
    token TEXT NOT NULL                        -- random; another one after each deletion of items or annotations
) STRICT;

-- A response that names what is gone is not replayed: the same Idempotency-Key creates anew.
CREATE TRIGGER replay_of_dataset AFTER UPDATE OF deleted ON dataset WHEN new.deleted BEGIN
    DELETE FROM idempotency WHERE instr(CAST(response AS TEXT), new.tag);
END;

CREATE TRIGGER replay_of_run AFTER UPDATE OF deleted ON run WHEN new.deleted BEGIN
    DELETE FROM idempotency WHERE instr(CAST(response AS TEXT), new.tag);
END;

CREATE TRIGGER replay_of_slice AFTER UPDATE OF deleted ON slice WHEN new.deleted BEGIN
    DELETE FROM idempotency WHERE instr(CAST(response AS TEXT), new.tag);
END;

CREATE TRIGGER replay_of_benchmark AFTER UPDATE OF deleted ON benchmark WHEN new.deleted BEGIN
    DELETE FROM idempotency WHERE instr(CAST(response AS TEXT), new.tag);
END;

CREATE TRIGGER replay_of_evaluation AFTER UPDATE OF deleted ON evaluation WHEN new.deleted BEGIN
    DELETE FROM idempotency WHERE instr(CAST(response AS TEXT), new.tag);
END;

CREATE TRIGGER replay_of_model AFTER DELETE ON model BEGIN
    DELETE FROM idempotency WHERE instr(CAST(response AS TEXT), old.tag);
END;

CREATE TRIGGER replay_of_preset AFTER DELETE ON preset BEGIN
    DELETE FROM idempotency WHERE instr(CAST(response AS TEXT), old.tag);
END;
