-- name: admit_action
-- One row of the input. A key that is known already is left alone: see admit_duplicate.
-- If the latest commits about its source are lost, it may have been stopped: see doubt_unread.
INSERT OR IGNORE INTO action
    (tenant, source, row, bulk_key, malformed, labels, rank, stage, outcome, error, position, lost)
VALUES (:tenant, :source, :row, :bulk_key, :malformed, :labels, :rank, :stage, :outcome, :error, :position,
        COALESCE((SELECT doubted FROM source WHERE id = :source), 0) AND NOT :malformed);

-- name: admit_duplicate
-- Only for a row that admit_action did not add.
INSERT INTO duplicate (first, source, row, position)
SELECT seq, :source, :row, :position FROM action
WHERE tenant = :tenant AND bulk_key = :bulk_key AND malformed = 0 AND :malformed = 0
  AND NOT (source = :source AND position = :position);

-- name: last_seq
SELECT COALESCE(MAX(seq), 0) FROM action;

-- name: new_keys
SELECT tenant, COUNT(*) FROM action WHERE seq > :before AND malformed = 0 GROUP BY tenant;

-- name: source_read
UPDATE source SET rows = rows + :rows, last_row = :last_row, chain = :chain WHERE id = :id;

-- name: source_content
UPDATE source SET bytes = :bytes, digest = :digest WHERE id = :id;

-- name: source_complete
UPDATE source SET complete = 1, sha256 = :sha256 WHERE id = :id;

-- name: claim
-- Takes the next keys to stop. Once this is committed, their stops may leave.
UPDATE action SET stage = 1, claimed = 1, attempts = attempts + :intent
WHERE seq IN (SELECT seq FROM action WHERE tenant = :tenant AND stage = 0 ORDER BY rank, seq LIMIT :most)
RETURNING rank, seq, bulk_key, accepted_at IS NOT NULL, lost, action_type;

-- name: release
-- The stop never left. The key is as before its claim.
UPDATE action SET stage = 0, claimed = 0, attempts = attempts - :intent, retried = retried - :retried
WHERE seq = :seq;

-- name: record_intent
-- One more stop will leave for this key.
UPDATE action SET stage = 1, attempts = attempts + 1, retried = retried + :retried WHERE seq = :seq;

-- name: withdraw_intent
-- The intent was for a hedge that was never sent. Another send of the stop was.
UPDATE action SET attempts = attempts - 1 WHERE seq = :seq;

-- name: hedged
UPDATE action SET hedged = hedged + 1 WHERE seq = :seq;

-- name: stop_superseded
-- The stop was cancelled in favour of another one. It may have taken effect.
UPDATE action SET lost = 1, sent_at = COALESCE(sent_at, :sent_at) WHERE seq = :seq;

-- name: accepted
UPDATE action SET stage = 2, accepted_at = :at, track_id = :track_id, request_id = :request_id, due_at = :due_at,
                  claimed = :claimed, error = NULL, sent_at = COALESCE(sent_at, :sent_at)
WHERE seq = :seq;

-- name: stop_failed
-- The error is the last response. A failure without a response does not replace it.
UPDATE action SET track_id = :track_id, request_id = :request_id, lost = lost OR :lost,
                  error = CASE WHEN :answered OR error IS NULL
                               OR json_extract(error, '$.kind') IN ('connect_failed', 'connection_lost', 'timeout')
                          THEN :error ELSE error END,
                  throttled = throttled + :throttled, sent_at = COALESCE(sent_at, :sent_at)
WHERE seq = :seq;

-- name: failure
INSERT INTO failure (seq, at, call, track_id, problem) VALUES (:seq, :at, :call, :track_id, :problem);

-- name: start_polling
-- No further stop is sent. The status decides.
UPDATE action SET stage = 2, claimed = :claimed, due_at = :due_at WHERE seq = :seq;

-- name: claim_parked
-- Takes keys whose status is to be read, the longest due first.
UPDATE action SET claimed = 1
WHERE seq IN (
    SELECT seq FROM action WHERE tenant = :tenant AND stage = 2 AND claimed = 0 ORDER BY due_at LIMIT :most)
RETURNING seq, bulk_key, accepted_at IS NOT NULL, lost, action_type, attempts, due_at, outcome, output_url, error,
          read_from, polls, total, processed, succeeded, failed, unprocessed;

-- name: read
-- A status was read and is not the end, or a reading failed.
UPDATE action SET status = COALESCE(:status, status), action_type = COALESCE(:action_type, action_type),
                  provenance = COALESCE(:provenance, provenance),
                  status_calls = status_calls + :status_calls, file_calls = file_calls + :file_calls,
                  retried = retried + :retried, throttled = throttled + :throttled,
                  total = COALESCE(:total, total), processed = COALESCE(:processed, processed),
                  succeeded = COALESCE(:succeeded, succeeded), failed = COALESCE(:failed, failed),
                  unprocessed = COALESCE(:unprocessed, unprocessed),
                  counts_from = CASE WHEN :processed IS NULL AND :total IS NULL THEN counts_from ELSE 'status' END
WHERE seq = :seq;

-- name: park
-- Memory holds enough: the journal keeps this one until it is due.
UPDATE action SET claimed = 0, due_at = :due_at, read_from = :read_from, polls = :polls WHERE seq = :seq;

-- name: ended
-- The end was seen; its response file is still to be fetched.
UPDATE action SET outcome = :outcome, output_url = :output_url WHERE seq = :seq;

-- name: filed
UPDATE action SET total = :total, processed = :processed, succeeded = :succeeded, failed = :failed,
                  unprocessed = :unprocessed, held_by_group = :held_by_group, counts_from = 'response_file',
                  mismatch = :mismatch
WHERE seq = :seq;

-- name: groups_read
UPDATE action SET held_by_group = :held_by_group
WHERE tenant = :tenant AND bulk_key = :bulk_key AND malformed = 0 AND counts_from = 'response_file';

-- name: completed
-- With the status that showed the end, if it was just read: one change of the row instead of two.
UPDATE action SET stage = 3, claimed = 0, outcome = :outcome, speed = :speed, error = :error, settled_at = :at,
                  status = COALESCE(:status, status), action_type = COALESCE(:action_type, action_type),
                  provenance = COALESCE(:provenance, provenance),
                  status_calls = status_calls + :status_calls, retried = retried + :retried,
                  total = COALESCE(:total, total), processed = COALESCE(:processed, processed),
                  succeeded = COALESCE(:succeeded, succeeded), failed = COALESCE(:failed, failed),
                  unprocessed = COALESCE(:unprocessed, unprocessed),
                  counts_from = CASE WHEN :processed IS NULL AND :total IS NULL THEN counts_from ELSE 'status' END,
                  seal = seal(tenant, bulk_key, source, row, labels, :outcome, COALESCE(:status, status), attempts,
                              accepted_at, request_id, lost, COALESCE(:total, total), COALESCE(:processed, processed),
                              COALESCE(:succeeded, succeeded), COALESCE(:failed, failed),
                              COALESCE(:unprocessed, unprocessed), :error, :at)
WHERE seq = :seq;

-- name: paced
INSERT INTO pace (at, tenant, slots, in_flight, others, throttled, waiting)
VALUES (:at, :tenant, :slots, :in_flight, :others, :throttled, :waiting);

-- name: case_twins
SELECT MIN(bulk_key), MAX(bulk_key) FROM action WHERE malformed = 0
GROUP BY tenant, LOWER(bulk_key) HAVING COUNT(*) > 1 ORDER BY MIN(seq) LIMIT :most;

-- name: any_key
SELECT EXISTS (SELECT 1 FROM action WHERE malformed = 0);

-- name: retry_refused
-- The next session tries these keys again: those refused for the credentials alone (HTTP 401), or every refused key.
UPDATE action SET outcome = 'not_attempted'
WHERE outcome = 'rejected' AND (:every OR json_extract(error, '$.kind') = 'unauthenticated');

-- name: refused
SELECT seq, error FROM action
WHERE outcome = 'rejected' AND (:every OR json_extract(error, '$.kind') = 'unauthenticated');

-- name: forget_trouble
-- A resumed run has shown it.
UPDATE mark SET trouble = NULL;

-- name: reopen
-- A resumed run has no action in memory. Every action that is not known to be over continues: it is polled if its stop
-- was accepted, and stopped otherwise, with all its attempts. A missing response file is fetched again.
-- An action that still ran at the end of --settle is stopped again, although the tenant accepted a stop.
UPDATE action SET
    claimed = 0, due_at = 0, read_from = NULL, polls = 0,
    lost = CASE WHEN stage = 1 AND attempts > 0 THEN 1
                WHEN outcome = 'unconfirmed' AND accepted_at IS NOT NULL AND status IN ('Pending', 'Processing') THEN 1
                ELSE lost END,
    stage = CASE
        WHEN outcome = 'unconfirmed' AND status IN ('Pending', 'Processing') THEN 0
        WHEN stage = 1 THEN 0
        WHEN accepted_at IS NOT NULL THEN 2
        WHEN outcome IS NOT NULL AND outcome NOT IN ('unconfirmed', 'unreachable', 'not_attempted') THEN 2
        ELSE 0 END,
    outcome = CASE WHEN outcome IN ('unconfirmed', 'unreachable', 'not_attempted') THEN NULL ELSE outcome END,
    settled_at = NULL, seal = NULL
WHERE stage IN (1, 2) OR outcome IN ('unconfirmed', 'unreachable', 'not_attempted')
   OR (output_url IS NOT NULL AND counts_from <> 'response_file')
   OR json_extract(error, '$.kind') = 'no_response_file';

-- name: fetch_again
UPDATE action SET stage = 2, due_at = 0, settled_at = NULL, seal = NULL, counts_from = 'status', mismatch = NULL
WHERE tenant = :tenant AND bulk_key = :bulk_key AND malformed = 0 AND output_url IS NOT NULL;

-- name: begin_session
INSERT INTO session (started_at) VALUES (:at);

-- name: session_operator
UPDATE session SET operator = :operator WHERE n = (SELECT MAX(n) FROM session);

-- name: withdraw_session
DELETE FROM session WHERE n = (SELECT MAX(n) FROM session);

-- name: token_call
UPDATE session SET token_calls = token_calls + 1 WHERE n = (SELECT MAX(n) FROM session);

-- name: tenant_token_call
UPDATE tenant SET token_calls = token_calls + 1 WHERE name = :tenant;

-- name: tenant_state
UPDATE tenant SET state = :state, reason = :reason WHERE name = :tenant;

-- name: end_session
UPDATE session SET ended_at = :at, state = :state, reason = :reason, exit_status = :exit_status
WHERE n = (SELECT MAX(n) FROM session);

-- name: end_tenants
-- Tenants without a recorded end: their session was killed, or had nothing left to do for them.
UPDATE tenant SET
    state = CASE WHEN name IN (SELECT tenant FROM action WHERE stage <> 3) THEN :state ELSE 'finished' END,
    reason = CASE WHEN name IN (SELECT tenant FROM action WHERE stage <> 3) THEN :reason END
WHERE state = 'running' OR (:state = 'finished' AND state <> 'unused');

-- name: any_possibly_stopped
SELECT EXISTS (SELECT 1 FROM action WHERE accepted_at IS NOT NULL OR lost);

-- name: any_stop_sent
-- Whether a stop reached the tenant. Without a connection, no stop was sent; a 401 stops nothing.
SELECT EXISTS (
    SELECT 1 FROM action
    WHERE accepted_at IS NOT NULL OR lost OR attempts > 0 AND COALESCE(
        json_extract(error, '$.kind') NOT IN ('connect_failed', 'unauthenticated'), 1));

-- name: outcomes
SELECT outcome, COUNT(*) FROM reported_action GROUP BY outcome ORDER BY outcome;

-- name: all_credentials_refused
SELECT COUNT(*) > 0 AND MIN(json_extract(error, '$.kind') IS 'unauthenticated') FROM reported_action
WHERE outcome <> 'malformed';

-- name: actions
SELECT * FROM reported_action ORDER BY seq;

-- name: actions_by_outcome
SELECT * FROM reported_action WHERE outcome IN (SELECT value FROM json_each(:outcomes)) ORDER BY seq;

-- name: first_to_stop
SELECT * FROM reported_action WHERE seq IN (
    SELECT seq FROM action WHERE stage = 0 ORDER BY rank, seq LIMIT :most)
ORDER BY (SELECT rank FROM action WHERE action.seq = reported_action.seq), seq;

-- name: action
SELECT * FROM reported_action WHERE seq = :seq;

-- name: unsent_errors
-- Keys to which this session has sent no stop yet, with the last error of an earlier session.
SELECT seq, error FROM action WHERE stage = 0 AND error IS NOT NULL ORDER BY seq;

-- name: unsettled
-- Actions without an end, and rows without a key.
SELECT * FROM reported_action WHERE settled_at IS NULL ORDER BY seq;

-- name: outcomes_by_tenant
SELECT tenant, outcome, COUNT(*) FROM reported_action GROUP BY tenant, outcome ORDER BY outcome;

-- name: duplicates_by_tenant
SELECT tenant, COUNT(*) FROM duplicate JOIN action ON seq = first GROUP BY tenant;

-- name: summaries
-- A row for each tenant. A sum of records is NULL if no action has that count.
SELECT COUNT(*) FILTER (WHERE outcome IS NOT 'malformed') AS keys,
       COUNT(*) FILTER (WHERE outcome IS 'malformed') AS malformed,
       SUM(total) AS total, SUM(processed) AS processed, SUM(succeeded) AS succeeded, SUM(failed) AS failed,
       SUM(unprocessed) AS unprocessed, SUM(held_by_group) AS held_by_group,
       COALESCE(SUM(attempts), 0) AS stop_calls, COALESCE(SUM(status_calls), 0) AS status_calls,
       COALESCE(SUM(file_calls), 0) AS file_calls,
       COALESCE(SUM(retried), 0) AS retried, COALESCE(SUM(throttled), 0) AS throttled,
       COALESCE(SUM(hedged), 0) AS hedged,
       MIN(sent_at) AS first_stop_at, MAX(accepted_at) AS last_stop_at, MAX(settled_at) AS settled_at,
       tenant
FROM action GROUP BY tenant;

-- name: begin_run
INSERT INTO run (id, command, version, process_started_at, started_at, base_url, entity_id, org_ids, settings)
VALUES (:id, :command, :version, :process_started_at, :started_at, :base_url, :entity_id, :org_ids, :settings);

-- name: add_tenant
INSERT INTO tenant (name, base_url, entity_id, org_ids) VALUES (:name, :base_url, :entity_id, :org_ids);

-- name: tenants
SELECT name, base_url, entity_id, org_ids, state, reason, token_calls FROM tenant ORDER BY rowid;

-- name: add_source
INSERT INTO source (name, path) VALUES (:name, :path);

-- name: run
SELECT id, command, version, process_started_at, started_at, base_url, entity_id, org_ids, settings FROM run;

-- name: sources
SELECT id, name, path, sha256, rows, chain, complete, bytes, digest FROM source ORDER BY id;

-- name: sessions
SELECT n, started_at, ended_at, state, reason, exit_status, token_calls, operator FROM session ORDER BY n;

-- name: replace_source
-- Standard input cannot be read twice. The source that is given again on resume takes its place.
UPDATE source SET path = :path, name = :name WHERE id = :id;

-- name: counts_by_tenant
-- The counts of each tenant of a resumed run: keys, accepted stops, stops left to send, keys left to poll, those of
-- them that are over, and completed keys that are not known to be over.
SELECT tenant, COUNT(*) FILTER (WHERE outcome IS NOT 'malformed') AS keys,
       COUNT(accepted_at) AS accepted,
       COUNT(*) FILTER (WHERE stage = 0) AS waiting,
       COUNT(*) FILTER (WHERE stage = 2) AS polling,
       COUNT(*) FILTER (WHERE stage = 2 AND outcome IS NOT NULL) AS ended,
       COUNT(*) FILTER (WHERE stage = 3 AND outcome IN ('rejected', 'skipped_by_guard')) AS not_over
FROM action GROUP BY tenant;

-- name: open_actions
-- The rows of a tenant's shard.
SELECT * FROM action WHERE tenant = :tenant AND stage <> 3 ORDER BY seq;

-- name: hand_over
-- Until the shard is merged, their stops may have been sent.
UPDATE action SET stage = 1, claimed = 1, attempts = attempts + 1 WHERE tenant = :tenant AND stage = 0;

-- name: take_back
UPDATE action SET stage = 0, claimed = 0, attempts = attempts - 1 WHERE tenant = :tenant AND stage = 1
AND :shard NOT IN (SELECT shard FROM merged);

-- name: merge_once
INSERT OR IGNORE INTO merged (shard) VALUES (:shard);

-- name: merge_tenant
UPDATE tenant SET state = :state, reason = :reason, token_calls = token_calls + :token_calls WHERE name = :name;

-- name: merge_session
UPDATE session SET token_calls = token_calls + :token_calls WHERE n = (SELECT MAX(n) FROM session);

-- name: add_verification
INSERT INTO verification (started_at, ended_at, keys, over) VALUES (:started_at, :ended_at, :keys, :over);

-- name: add_finding
INSERT INTO finding (verification, seq, kind, message)
VALUES ((SELECT MAX(n) FROM verification), :seq, :kind, :message);

-- name: verifications
SELECT n, started_at, ended_at, keys, over,
       (SELECT COUNT(*) FROM finding WHERE verification = n AND kind = 'not_over'),
       (SELECT COUNT(*) FROM finding WHERE verification = n AND kind = 'changed'),
       (SELECT COUNT(*) FROM finding WHERE verification = n AND kind = 'unread')
FROM verification ORDER BY n;

-- name: findings
SELECT bulk_key, source.name, row, tenant, kind, message
FROM finding JOIN action USING (seq) JOIN source ON source.id = source
WHERE verification = :verification ORDER BY finding.rowid LIMIT :most;

-- name: support
SELECT bulk_key, tenant, outcome, status, accepted_at, track_id, request_id, at, call, failed_track_id, problem
FROM reported_action LEFT JOIN (
    SELECT seq, at, call, track_id AS failed_track_id, problem, rowid AS place,
           ROW_NUMBER() OVER (PARTITION BY seq ORDER BY rowid DESC) AS latest
    FROM failure) USING (seq)
WHERE outcome IN (SELECT value FROM json_each(:outcomes)) AND COALESCE(latest, 1) <= :most
ORDER BY seq, place;

-- name: bulk_keys
SELECT seq, bulk_key, tenant FROM action WHERE malformed = 0 ORDER BY seq;

-- name: planned
SELECT row, bulk_key, labels, speed, tenant FROM action WHERE outcome IS NOT 'malformed' ORDER BY seq;

-- name: any_duplicate
SELECT EXISTS (SELECT 1 FROM duplicate);

-- name: duplicates_of
SELECT duplicate.source, duplicate.row FROM duplicate WHERE first = :first ORDER BY rowid;

-- name: filed_keys
SELECT tenant, bulk_key, action_type FROM action WHERE counts_from = 'response_file' ORDER BY seq;

-- name: foreign_file_addresses
SELECT output_url FROM action
WHERE tenant = :tenant AND instr(output_url, '//') > 0 AND instr(output_url, :own) <> 1 ORDER BY seq;

-- name: files_missing
SELECT COUNT(*) FROM action
WHERE counts_from <> 'response_file'
  AND (output_url IS NOT NULL OR json_extract(error, '$.kind') = 'no_response_file');

-- name: failures
-- How keys failed that are not known to be over. MIN(seq) makes key and message those of the first.
SELECT outcome, json_extract(error, '$.kind') AS kind, COUNT(*) AS keys,
       COUNT(*) FILTER (WHERE json_extract(error, '$.kind') = 'wrong_state' AND outcome = 'unconfirmed'
                              AND accepted_at IS NULL AND NOT lost AND status IS NULL),
       MIN(seq) AS first, bulk_key, json_extract(error, '$.message')
FROM reported_action
WHERE error IS NOT NULL AND outcome IN ('unconfirmed', 'rejected', 'unreachable', 'not_attempted')
GROUP BY outcome, kind ORDER BY keys DESC, first;

-- name: needs_a_person
-- By outcome and reason, the keys that are not fine. The reason with the most keys comes first.
SELECT outcome, json_extract(error, '$.kind') AS kind, json_extract(error, '$.code') AS code,
       json_extract(error, '$.message') AS message, COUNT(*) AS keys, MIN(seq) AS first
FROM reported_action
WHERE outcome NOT IN (SELECT value FROM json_each(:fine))
GROUP BY outcome, kind, code ORDER BY keys DESC, first LIMIT :most;

-- name: needs_a_person_first
SELECT bulk_key, source.name, row, tenant, COALESCE(json_extract(error, '$.message'), '')
FROM reported_action JOIN source ON source.id = source
WHERE outcome = :outcome AND json_extract(error, '$.kind') IS :kind AND json_extract(error, '$.code') IS :code
ORDER BY seq LIMIT :most;

-- name: plan_totals
SELECT tenant, COUNT(*) FILTER (WHERE status = 'Processing') AS processing,
       COUNT(*) FILTER (WHERE status = 'Pending') AS pending,
       COUNT(*) FILTER (WHERE status = 'Stopping') AS stopping,
       SUM(unprocessed) AS unprocessed,
       CAST(COALESCE(SUM(MIN(unprocessed, speed * 60)), 0) AS INTEGER) AS within_a_minute,
       COUNT(*) FILTER (WHERE status = 'Processing' AND COALESCE(speed, 0) = 0) AS still,
       MAX(CASE WHEN speed > 0 THEN unprocessed / speed END) AS done_in
FROM action WHERE outcome = 'would_stop' GROUP BY tenant;

-- name: plan_first
-- In the order in which a run by this plan would stop them.
SELECT bulk_key, status, action_type, unprocessed, speed, tenant FROM action WHERE outcome = 'would_stop'
ORDER BY speed IS NULL, speed DESC, seq LIMIT :most;

-- name: payments_since
-- No column says when a payment was made: the start of its action is the earliest possible time.
SELECT MIN(json_extract(provenance, '$.started_on')) FROM action WHERE action_type = 'MPU' AND processed > 0;
