-- What makes a store of version 2 from one of version 1.


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
