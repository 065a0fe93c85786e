-- The one place where tables are declared. Every row comes from a file under cache/: the database can be deleted and rebuilt.
-- Everything scored is a text after a prompt; everything that scores is a scorer; everything that answers is a generator.

create table datasets (
    dataset_id   varchar primary key,   -- short name and hash of the content
    name         varchar not null,
    format       varchar not null,      -- a name in engine.data.formats.FORMATS
    source       varchar not null,      -- file, folder or hub name it was read from
    licence      varchar,
    sha256       varchar not null,      -- of the kept pairs
    kept         integer not null,      -- pairs
    dropped      integer not null,      -- records
    dropped_by   json not null,         -- {"reason": records}
    splits       json not null,         -- {"split": pairs}
    created_at   timestamp not null     -- UTC
);

create table prompts (
    prompt_id    varchar primary key,   -- hash of the turns
    turns        json not null,         -- [{"role", "content"}, …] without the system prompt
    text         varchar not null,      -- the last user turn: what a page shows first
    language     varchar not null       -- 'zh' when most letters are Han characters, otherwise 'other'
);

create table texts (
    text_id      varchar primary key,   -- hash of the text
    text         varchar not null,
    chars        integer not null,      -- Unicode code points
    words        integer not null,      -- runs of non-space; each Han character counts as one
    language     varchar not null       -- as in prompts
);

create table pairs (
    pair_id      varchar not null,      -- hash of prompt, chosen and rejected
    dataset_id   varchar not null,
    split        varchar not null,
    prompt_id    varchar not null,
    chosen_id    varchar not null,      -- texts.text_id
    rejected_id  varchar not null,      -- texts.text_id
    prompt_type  varchar,               -- a group named by the dataset
    source       varchar,
    line         integer,               -- line or record number in the file it was read from, from 1
    primary key (dataset_id, split, pair_id)
);

create table models (
    model_id        varchar primary key,
    kind            varchar not null,   -- base | reward | policy | adapter
    base_model      varchar not null,   -- name or folder it was made from
    run_id          varchar,            -- null for a base model
    checkpoint_step integer,            -- optimiser steps
    path            varchar,            -- relative to cache/ when inside it
    bytes           bigint
);

create table generators (
    generator_id varchar primary key,   -- hash of all that changes an answer
    model_id     varchar,               -- null when the answers were imported
    import_id    varchar,
    name         varchar not null,      -- what pages and tables call it
    kind         varchar not null,      -- base | tuned | imported
    settings     json not null          -- system prompt, temperature, top_p, seed, max_tokens, max_new_tokens, batch_size, precision, backend
);

create table generations (
    generation_id varchar primary key,  -- hash of generator, prompt, text and record
    generator_id  varchar not null,
    prompt_id     varchar not null,
    text_id       varchar not null,
    tokens        integer,              -- new tokens, end-of-turn counted
    finish_reason varchar,              -- stop | length | imported
    seconds       double                -- wall time of its batch divided by the batch's answers
);

create table scorers (
    scorer_id          varchar primary key,  -- hash of all that changes a score
    name               varchar not null,
    kind               varchar not null,     -- head | untrained_head | implicit | ensemble | imported
    model_id           varchar,
    reference_model_id varchar,              -- implicit only
    beta               double,               -- implicit only
    reduction          varchar,              -- implicit only: sum | mean over response tokens
    precision          varchar,              -- fp32 | bf16
    max_tokens         integer,              -- prompt and response together
    system_prompt      varchar,
    template_hash      varchar,              -- of the chat template
    seed               integer,              -- of the untrained head
    length_control     json,                 -- what length does to the reported reward; null: nothing
    members            json                  -- ensemble only: [{run_id, scorer_id, weight, mean, std}]; mean and std null: not standardised
);

create table rewards (
    scorer_id   varchar not null,
    prompt_id   varchar not null,
    text_id     varchar not null,
    reward      double not null,        -- the scorer's own unit; not comparable between scorers
    tokens      integer,                -- response tokens, end-of-turn counted
    truncated   boolean,                -- prompt or response was cut to max_tokens
    record      integer not null,       -- 0, or the number of a repeated measurement
    primary key (scorer_id, prompt_id, text_id, record)
);

create table disagreement (
    scorer_id   varchar not null,       -- of an ensemble
    prompt_id   varchar not null,
    text_id     varchar not null,
    std         double not null,        -- standard deviation of the members' rewards as they enter the ensemble, n - 1
    disagreement double,                -- mean share of members that rank it and another response to its prompt unlike the ensemble;
                                        --   a tie is half, null without another response
    members     integer not null,
    primary key (scorer_id, prompt_id, text_id)
);

create table studies (
    study_id    varchar primary key,    -- its name; runs.study_id of its members
    title       varchar not null,
    definition  json not null,          -- engine.study.Study
    created_at  timestamp not null      -- UTC
);

create table runs (
    run_id        varchar primary key,
    kind          varchar not null,     -- reward | policy | generate | score | ensemble | embed
    name          varchar not null,
    parents       json not null,        -- [run_id]
    study_id      varchar,
    configuration varchar,              -- of its study: what is repeated with several seeds
    state         varchar not null,     -- queued | running | finalising | done | failed | cancelled | lost
    reason        varchar,              -- did not fit | not started; null: none but the error
    error         varchar,              -- one sentence
    config        json not null,
    dataset_id    varchar,
    pairs_sha256  varchar,              -- of the pair ids it trained on
    started_at    timestamp,            -- UTC
    finished_at   timestamp,            -- UTC
    device        varchar,
    versions      json,
    peak_bytes    bigint,               -- resident memory, or device memory on CUDA
    stage_peaks   json                  -- the same by stage: {"stage": bytes}
);

create table metrics (
    run_id   varchar not null,
    step     integer not null,          -- optimiser steps done
    split    varchar not null,          -- train, or the evaluated split
    name     varchar not null,          -- reward runs: loss, accuracy, margin, learning_rate, grad_norm, epoch, pairs_per_second (train);
                                        --   accuracy, reward_mean, reward_std, chosen_mean, chosen_std, rejected_mean, rejected_std,
                                        --   margin_mean, margin_std, accuracy_length_matched, n, n_length_matched (validation splits, step 0
                                        --   being the untrained head)
                                        -- policy runs: loss, rewards/chosen, rewards/rejected, rewards/margins, rewards/accuracies, rewards/sum,
                                        --   logps/chosen, logps/rejected, learning_rate, grad_norm, epoch, pairs_per_second (train);
                                        --   the rewards/ names, loss and n (validation splits)
                                        -- ensemble runs: as reward runs on validation splits, and of the same pairs accuracy/RUN of each member,
                                        --   std_mean, disagreement (mean share of members that rank a pair unlike the ensemble, a tie half),
                                        --   n_agree, accuracy_agree (all members rank alike), n_disagree, accuracy_disagree
    value    double not null,
    tokens   bigint,                    -- packed tokens trained on so far
    seconds  double,                    -- of training so far
    primary key (run_id, step, split, name)
);

create table map_points (
    map_id    varchar not null,         -- run and method: umap | tsne | pca
    text_id   varchar not null,
    x         double not null,
    y         double not null,
    primary key (map_id, text_id)
);

create table about (
    name  varchar primary key,          -- schema_sha256
    value varchar not null
);
