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

create table word_counts (
    dataset_id  varchar not null,
    split       varchar not null,
    word        varchar not null,       -- lower case, stop words too; of Chinese in 4,000 responses of a split
    chosen      bigint not null,        -- times in chosen responses
    rejected    bigint not null,        -- times in rejected responses
    primary key (dataset_id, split, word)
);

create table flags (                    -- of every text that somebody answered; made when the answer is ingested
    text_id      varchar primary key,
    repeats      boolean not null,      -- by the rules of engine.store.flags
    refuses      boolean not null
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

create table ingested (
    folder  varchar primary key,        -- below cache/: runs/<id>, datasets/<id>, …
    stamp   varchar not null            -- of its files when they were ingested; another one now: something is missing here
);

-- Counted after every ingest (engine.store.database.recount), because counting takes a second where there are millions of rewards.
create table coverage (
    scorer_id    varchar not null,
    dataset_id   varchar,               -- null: of answers to prompts that no pair has
    split        varchar,
    generator_id varchar,               -- null: of the split's pairs; else of this generator's answers to the split's prompts
    scored       integer not null,      -- pairs with both responses scored, or answers scored
    expected     integer not null,      -- pairs, or answers, that there are; a run that measures a choice of the pairs: so many
    complete     boolean not null       -- nothing is missing, or it was imported and is all there will be; the others are not shown
);

-- Made with it, by the views given, asked_and_given, ranked, judged and averaged: every figure asks for these rows, and joining them anew takes longer than the rest.
create table answers (                  -- one row per generator, prompt and text: the same text given again is one answer
    generator_id  varchar not null,
    prompt_id     varchar not null,
    text_id       varchar not null,
    tokens        double,               -- new tokens, end-of-turn counted; null when not counted
    words         integer,
    finish_reason varchar,              -- stop | length (cut by the token limit) | imported
    repeats       boolean,              -- this and the following as in flags
    refuses       boolean,
    generation_id varchar not null
);

create table answered (                 -- one row per generator and split of whose prompts it answered some
    generator_id varchar not null,
    dataset_id   varchar not null,
    split        varchar not null,
    prompts      bigint not null        -- that it answered
);

create table scored_pairs (             -- one row per pair of a split and scorer of both responses; none while pairs are missing
    scorer_id       varchar not null,
    dataset_id      varchar not null,
    split           varchar not null,
    pair_id         varchar not null,
    prompt_id       varchar not null,
    prompt_type     varchar,
    source          varchar,
    chosen_reward   double not null,    -- the scorer's own unit
    rejected_reward double not null,
    margin          double not null,    -- chosen - rejected
    chosen_words    integer,
    rejected_words  integer,
    longer_by       integer             -- words that the chosen response has more
);

create table scored_answers (           -- one row per answer and scorer that has scored it; none while answers are missing
    scorer_id     varchar not null,
    generator_id  varchar not null,
    prompt_id     varchar not null,
    text_id       varchar not null,
    reward        double not null,      -- the scorer's own unit
    tokens        double,               -- this and the following as in answers
    words         integer,
    finish_reason varchar,
    generation_id varchar not null
);

create table scored_prompts (           -- one row per generator, scorer and prompt: several answers averaged
    generator_id  varchar not null,
    scorer_id     varchar not null,
    prompt_id     varchar not null,
    reward        double not null,
    tokens        double,
    words         double,
    finish_reason varchar               -- length when one of several was cut
);

-- Views: the only place that knows how a pair or an answer meets its rewards. Pages, summary, groups and report read these.

create view measured as                 -- one row per scorer, prompt and text: repeated measurements averaged once, here
select scorer_id, prompt_id, text_id, avg(reward) as reward from rewards group by scorer_id, prompt_id, text_id;

create view scorers_of_datasets as      -- whose numbers change with a dataset: one row per reward of a response of its pairs
select dataset_id, scorer_id
from rewards join (select dataset_id, prompt_id, unnest([chosen_id, rejected_id]) as text_id from pairs) using (prompt_id, text_id);

create view scorers_of_generators as    -- and with a generator: one row per reward of an answer of it
select generator_id, scorer_id from rewards join generations using (prompt_id, text_id);

create view ranked as                   -- what the table scored_pairs holds
select c.scorer_id, p.dataset_id, p.split, p.pair_id, p.prompt_id, p.prompt_type, p.source,
       c.reward as chosen_reward, r.reward as rejected_reward, c.reward - r.reward as margin,
       tc.words as chosen_words, tr.words as rejected_words, tc.words - tr.words as longer_by
from pairs p
join measured c on c.prompt_id = p.prompt_id and c.text_id = p.chosen_id
join measured r on r.prompt_id = p.prompt_id and r.text_id = p.rejected_id and r.scorer_id = c.scorer_id
left join texts tc on tc.text_id = p.chosen_id
left join texts tr on tr.text_id = p.rejected_id
where (c.scorer_id, p.dataset_id, p.split) in (select (scorer_id, dataset_id, split) from coverage where complete and generator_id is null);

create view given as                    -- what the table answers holds
select generator_id, prompt_id, text_id, avg(a.tokens) as tokens, any_value(t.words) as words, max(a.finish_reason) as finish_reason,
       any_value(f.repeats) as repeats, any_value(f.refuses) as refuses, min(a.generation_id) as generation_id
from generations a left join texts t using (text_id) left join flags f using (text_id) group by generator_id, prompt_id, text_id;

create view asked_and_given as          -- what the table answered holds
select generator_id, dataset_id, split, count(*) as prompts
from (select distinct generator_id, prompt_id from answers) join (select distinct dataset_id, split, prompt_id from pairs) using (prompt_id)
group by generator_id, dataset_id, split;

create view judged as                   -- what the table scored_answers holds
with unfinished as (                    -- prompts whose answers by a generator a scorer has scored in part
    select distinct scorer_id, generator_id, prompt_id
    from coverage join pairs using (dataset_id, split) where not complete and generator_id is not null
)
select m.scorer_id, a.generator_id, a.prompt_id, a.text_id, m.reward, a.tokens, a.words, a.finish_reason, a.generation_id
from answers a join measured m using (prompt_id, text_id)
anti join unfinished u on u.scorer_id = m.scorer_id and u.generator_id = a.generator_id and u.prompt_id = a.prompt_id;

create view averaged as                 -- what the table scored_prompts holds
select generator_id, scorer_id, prompt_id, avg(reward) as reward, avg(tokens) as tokens, avg(words) as words,
       case when bool_or(finish_reason = 'length') then 'length' else max(finish_reason) end as finish_reason
from scored_answers group by generator_id, scorer_id, prompt_id;

create view compared_answers as         -- one row per prompt that two generators answered, and scorer of both; several answers averaged
select b.generator_id as base_id, t.generator_id as tuned_id, b.scorer_id, b.prompt_id,
       b.reward as base_reward, t.reward as tuned_reward,
       t.reward - b.reward as difference,  -- the scorer's own unit
       b.tokens as base_tokens, t.tokens as tuned_tokens,  -- new tokens; null when not counted
       b.words as base_words, t.words as tuned_words,
       b.finish_reason as base_finish_reason, t.finish_reason as tuned_finish_reason  -- length when one of several was cut
from scored_prompts b join scored_prompts t on t.prompt_id = b.prompt_id and t.scorer_id = b.scorer_id and t.generator_id <> b.generator_id;

create view comparable as               -- one row per ordered pair of generators
with known as (
    select g.*, r.config ->> 'model' as trained_from, g.kind = 'imported' as imported,
           regexp_matches(lower(g.name), 'base|raw|untrained|reference') as called_base
    from generators g left join runs r on r.run_id = g.model_id
), decoding as (                        -- what changes answers; seed, batch size and precision only change which are drawn
    select generator_id, setting, coalesce(settings ->> setting, 'none') as value
    from known, unnest(['system_prompt', 'temperature', 'top_p', 'max_tokens', 'max_new_tokens']) as names(setting) where not imported
), different as (
    select b.generator_id as base_id, t.generator_id as tuned_id,
           string_agg(setting || ' ' || b.value[:40] || ' and ' || t.value[:40], ', ' order by setting) as differs
    from decoding b join decoding t using (setting) where b.value <> t.value group by all
)
select b.generator_id as base_id, t.generator_id as tuned_id,
       case when b.imported = t.imported then differs else 'settings unknown of ' || if(b.imported, b.name, t.name) end
           as differs,                  -- decoding settings of base and tuned, 'max_new_tokens 96 and 200'; null when they agree
       case when b.imported and t.imported then
                 case when b.called_base or t.called_base then b.called_base and not t.called_base
                      else not exists (from known where imported and called_base) and (b.name, b.generator_id) < (t.name, t.generator_id) end
            else b.kind = 'base' and t.kind <> 'base' and coalesce(t.trained_from = b.model_id, true)
            end as paired               -- whether the first is what the second is measured against
from known b join known t on b.generator_id <> t.generator_id
left join different d on d.base_id = b.generator_id and d.tuned_id = t.generator_id;

create view counted as                  -- what the table coverage holds, counted from the rows
with scored as (select distinct scorer_id, prompt_id, text_id from rewards),
chosen_few as (                         -- pairs that the scorer's own run measures of a split
    select scorer_id, min(cast(r.config ->> 'validation_pairs' as integer)) as few
    from scorers s join runs r on r.run_id = s.model_id
         or (s.kind = 'untrained_head' and r.config ->> 'model' = s.model_id and cast(r.config ->> 'seed' as integer) = s.seed)
    group by scorer_id
), whole as (select dataset_id, split, count(*) as pairs from pairs group by dataset_id, split),
asked as (select distinct dataset_id, split, prompt_id from pairs),
answered as (
    select generator_id, prompt_id, text_id, dataset_id, split
    from (select distinct generator_id, prompt_id, text_id from generations) left join asked using (prompt_id)
), given as (select generator_id, dataset_id, split, count(*) as expected from answered group by all),
cells as (
    select c.scorer_id, p.dataset_id, p.split, cast(null as varchar) as generator_id, count(*) as scored,
           least(any_value(w.pairs), coalesce(any_value(few), any_value(w.pairs))) as expected
    from pairs p join whole w using (dataset_id, split)
    join scored c on c.prompt_id = p.prompt_id and c.text_id = p.chosen_id
    join scored r on r.prompt_id = p.prompt_id and r.text_id = p.rejected_id and r.scorer_id = c.scorer_id
    left join chosen_few f on f.scorer_id = c.scorer_id
    group by c.scorer_id, p.dataset_id, p.split
    union all
    select s.scorer_id, a.dataset_id, a.split, a.generator_id, count(*), any_value(expected)
    from answered a join scored s using (prompt_id, text_id)
    join given g on g.generator_id = a.generator_id and g.dataset_id is not distinct from a.dataset_id
         and g.split is not distinct from a.split
    group by s.scorer_id, a.dataset_id, a.split, a.generator_id
)
select cells.*, scored >= expected or s.kind = 'imported' as complete from cells join scorers s using (scorer_id);

create view named_scorers as            -- scorers as pages, figures and sentences call them: of untrained ones only in what they differ
with untrained as (
    select count(distinct model_id) as models, count(distinct seed) as seeds, count(distinct precision) as precisions
    from scorers where kind = 'untrained_head'
)
select s.* replace (
    if(kind <> 'untrained_head', name, 'untrained' || coalesce(' (' || nullif(concat_ws(
        ', ', case when models > 1 then model_id end, case when seeds > 1 then 'seed ' || seed end, case when precisions > 1 then precision end
    ), '') || ')', '')) as name)
from scorers s, untrained;

create view named_generators as         -- the same of generators: a run called "DPO answers" or "Answers of DPO" made the answers of DPO
select g.* replace (coalesce(nullif(regexp_extract(name, '^(?:Answers of )?(.+?)(?: answers)?$', 1), ''), name) as name)
from generators g;
