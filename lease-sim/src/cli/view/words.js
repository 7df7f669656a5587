// Numbers and events in words.

const seconds = (ms) => `${(ms / 1000).toFixed(3)} s`;

const lasting = (ms) => (ms < 1000 ? `${ms} ms` : `${Number((ms / 1000).toFixed(3))} s`);

const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

const endName = (end) => (typeof end === "string" ? `the ${end}` : `node ${end.node}`);

const leaseName = (name) => `lease ${name.lease} #${name.incarnation}`;

// On the clock of a member, which starts where it likes.
const ownTime = ({ from_ms, to_ms }) =>
  from_ms === to_ms ? `its ${seconds(from_ms)}` : `its ${seconds(from_ms)} to ${seconds(to_ms)}`;

// What can be listed: how it is called, whether it is listed from the start, and its colour.
const KINDS = {
  violation: { label: "violation", listed: true, colour: "bad" },
  fault: { label: "fault", listed: true, colour: "fault" },
  request: { label: "request", listed: true, colour: "faint" },
  elected: { label: "elected", listed: true, colour: "epoch" },
  promoted: { label: "promoted", listed: true, colour: "epoch" },
  demoted: { label: "demoted", listed: true, colour: "muted" },
  began: { label: "epoch", listed: true, colour: "epoch" },
  ended: { label: "ended", listed: true, colour: "down" },
  recovered: { label: "started", listed: true, colour: "down" },
  paused: { label: "paused", listed: true, colour: "fault" },
  resumed: { label: "resumed", listed: true, colour: "fault" },
  clock_set_back: { label: "clock", listed: true, colour: "fault" },
  granted: { label: "granted", listed: true, colour: "ink" },
  renewed: { label: "renewed", listed: true, colour: "epoch" },
  acknowledged: { label: "acknowledged", listed: true, colour: "promise" },
  delivered: { label: "delivered", listed: true, colour: "epoch" },
  attempt_failed: { label: "attempt failed", listed: true, colour: "muted" },
  revoked: { label: "revoked", listed: true, colour: "ink" },
  checkpoint_proposed: { label: "checkpoint proposed", listed: true, colour: "muted" },
  checkpointed: { label: "checkpointed", listed: true, colour: "ink" },
  told_time_to_live: { label: "time to live", listed: true, colour: "muted" },
  wait_began: { label: "wait", listed: true, colour: "muted" },
  wait_ended: { label: "wait over", listed: true, colour: "muted" },
  broken: { label: "broken", listed: true, colour: "bad" },
  over: { label: "over", listed: true, colour: "ink" },
  differs: { label: "differs", listed: true, colour: "bad" },
  wrong: { label: "wrong", listed: true, colour: "bad" },
  not_linear: { label: "not linear", listed: true, colour: "bad" },
  expiry_proposed: { label: "expiry proposed", listed: true, colour: "muted" },
  disk_lost: { label: "disk lost", listed: true, colour: "fault" },
  call_failed: { label: "call failed", listed: true, colour: "muted" },
  read: { label: "clock read", listed: false, colour: "faint" },
  counted: { label: "counted", listed: false, colour: "muted" },
  applied: { label: "applied", listed: false, colour: "muted" },
  specified: { label: "entries", listed: false, colour: "muted" },
  message: { label: "messages", listed: false, colour: "faint" },
};

const kindOf = (kind) =>
  KINDS[kind] ?? { label: kind.replaceAll("_", " "), listed: true, colour: "muted" };

// An action of the plan on a lane, as short as possible.
const FAULTS = {
  elect: () => "elect",
  transfer: () => "transfer to it",
  crash: (it) => `crash ${lasting(it.for_ms)}`,
  power_cut: () => "power cut",
  stop: (it) => `stop ${lasting(it.for_ms)}`,
  pause: (it) => `pause ${lasting(it.for_ms)}`,
  cut: (it) =>
    typeof it.from === "string" ? `hears no ${it.from}` : `unheard by ${endName(it.to)}`,
  isolate: () => "isolated",
  clog: () => "clogged",
  clock_back: (it) => `clock −${lasting(it.by_ms)}`,
  disk_error: () => "disk error",
  disk_full: () => "disk full",
  disk_slow: (it) => `disk slow, ${lasting(it.by_ms)}`,
  snapshot: () => "snapshot",
  linger: () => "expired leases wait",
  suspend: () => "expiry suspended",
};

const REQUESTS = {
  grant: (it) => `grant ${it.lease}`,
  hold: (it) => `hold ${it.lease}`,
  renew: (it) => `renew ${it.lease}`,
  revoke: (it) => `revoke ${it.lease}`,
  put: (it) => `put k${it.key}${it.lease === null ? "" : `→${it.lease}`}`,
  put_many: (it) => `put ${it.count} keys→${it.lease}`,
  time_to_live: (it) => `ttl? ${it.lease}`,
  blackout: () => "blackout",
  lose_disk: () => "lose disk",
  learn: () => "is to learn",
  admit: () => "is to decide",
  remove: () => "is to go",
  grant_new: () => "grant new",
  renew_many: (it) => `renew ${it.count} from ${it.lease}`,
  look: (it) => `${it.how}? ${it.lease}`,
};

// The label of an action, and what it may be shortened to.
const actionLabels = ({ name, fields }) => {
  const words = FAULTS[name] ?? REQUESTS[name];
  const label = words ? words(fields) : name.replaceAll("_", " ");
  const parts = label.split(/[ ,]/);
  return [label, name in REQUESTS ? parts.at(-1) : parts[0]];
};

const ACTION_SENTENCES = {
  elect: (it) => `the log makes node ${it.node} the leader of a new term`,
  transfer: (it) => `the leader steps down for node ${it.node}`,
  crash: (it) => `node ${it.node} loses power for ${lasting(it.for_ms)}`,
  power_cut: (it) =>
    `power cut of node ${it.node} in ${it.after_operations} disk operations, ` +
    `for ${lasting(it.for_ms)}`,
  stop: (it) => `node ${it.node} is shut down for ${lasting(it.for_ms)}`,
  pause: (it) => `node ${it.node} stands still for ${lasting(it.for_ms)}`,
  cut: (it) =>
    `nothing from ${endName(it.from)} reaches ${endName(it.to)} for ${lasting(it.for_ms)}`,
  isolate: (it) => `node ${it.node} is cut off for ${lasting(it.for_ms)}`,
  clog: (it) => `what is sent to node ${it.node} is held up for ${lasting(it.for_ms)}`,
  clock_back: (it) => `the clock of node ${it.node} goes back by ${lasting(it.by_ms)}`,
  disk_error: (it) =>
    `disk operation ${it.after_operations} of node ${it.node} from here will fail`,
  disk_full: (it) => `the disk of node ${it.node} is full for ${lasting(it.for_ms)}`,
  disk_slow: (it) =>
    `node ${it.node} takes ${lasting(it.by_ms)} an entry for ${lasting(it.for_ms)}`,
  snapshot: (it) => `node ${it.node} gets a snapshot in the place of the log`,
  linger: (it) =>
    `the host of node ${it.node} takes no expired leases for ${lasting(it.for_ms)}`,
  suspend: (it) => `node ${it.node} suspends expiry for ${lasting(it.for_ms)}`,
  grant: (it) => `client asks for lease ${it.lease}, TTL ${it.ttl} s`,
  hold: (it) =>
    `client asks for lease ${it.lease}, TTL ${it.ttl} s, ` +
    `then ${it.times}× every ${lasting(it.every_ms)}`,
  renew: (it) => `client asks to renew lease ${it.lease}`,
  revoke: (it) => `client asks to revoke lease ${it.lease}`,
  put: (it) =>
    it.lease === null
      ? `client puts key ${it.key} without a lease`
      : `client puts key ${it.key} with lease ${it.lease}`,
  put_many: (it) =>
    `client puts ${it.count} keys with lease ${it.lease}, or takes them off again`,
  time_to_live: (it) => `client asks how long lease ${it.lease} has`,
  blackout: (it) => `all members lose power for ${lasting(it.for_ms)}`,
  lose_disk: (it) =>
    `node ${it.node} loses its disk, and is down for ${lasting(it.for_ms)}, or for ever on openraft`,
  learn: (it) => `node ${it.node} is to get the log, and not to decide`,
  admit: (it) => `node ${it.node} is to decide`,
  remove: (it) => `node ${it.node} is to go, for ever`,
  grant_new: (it) => `client asks for a lease of ${it.ttl} s under a new id`,
  renew_many: (it) => `client renews ${it.count} leases from ${it.lease} on`,
  look: (it) => `client looks at lease ${it.lease}: ${it.how}`,
};

const actionSentence = (action) => {
  const words = ACTION_SENTENCES[action.name];
  return words ? words(action.fields) : inGeneral(action.name, action.fields);
};

const SENTENCES = {
  violation: (it) => `${it.property}: ${it.message}`,
  fault: actionSentence,
  request: actionSentence,
  elected: (it) => `node ${it.node} elected leader of term ${it.epoch}`,
  promoted: (it) => `node ${it.node} is primary of epoch ${it.epoch}`,
  demoted: (it) => `node ${it.node} is no primary any more`,
  began: (it) => `epoch ${it.epoch} begins`,
  ended: (it) =>
    `node ${it.node} ${it.how === "stopped" ? "stopped in order" : "lost power"} ` +
    `after entry ${it.index}`,
  recovered: (it) =>
    `node ${it.node} ${it.from_disk ? "starts from its disk" : "takes a snapshot"} ` +
    `at entry ${it.index}`,
  paused: (it) => `node ${it.node} stands still`,
  resumed: (it) => `node ${it.node} goes on`,
  disk_harmed: (it) => `the disk of node ${it.node} may fail or be slow`,
  clock_set_back: (it) => `clock of node ${it.node} set back by ${lasting(it.by_ms)}`,
  granted: (it) => `${leaseName(it.name)} granted, TTL ${lasting(it.ttl_ms)}`,
  renewed: (it) => `${leaseName(it.name)} renewed by node ${it.node}, epoch ${it.epoch}`,
  acknowledged: (it) => `${leaseName(it.name)} promised until ${seconds(it.asked_ms + it.ttl_ms)}`,
  delivered: (it) =>
    `${leaseName(it.name)} delivered by node ${it.node}, epoch ${it.epoch}` +
    (it.attempt > 0 ? `, attempt ${it.attempt + 1}` : ""),
  attempt_failed: (it) => `node ${it.node} knows that ${leaseName(it.name)} was not revoked`,
  revoked: (it) =>
    it.by === null
      ? `${leaseName(it.name)} revoked by a client`
      : `${leaseName(it.name)} expired by epoch ${it.by}`,
  checkpoint_proposed: (it) =>
    `${leaseName(it.name)}: node ${it.node} proposes checkpoint, ` +
    `${lasting(it.remaining_ms)} left`,
  checkpointed: (it) =>
    it.remaining_ms === null
      ? `${leaseName(it.name)} checkpoint taken back`
      : `${leaseName(it.name)} checkpointed, ${lasting(it.remaining_ms)} left`,
  checkpoint_lost: (it) => `${leaseName(it.name)}: a checkpoint gets lost`,
  renewal_tried: (it) =>
    `node ${it.node} is to renew ${leaseName(it.name)}, which ` +
    `${it.is_alive ? "has time left" : "has none left"}, and is ${it.came_to.replaceAll("_", " ")}`,
  read: (it) => `node ${it.node} reads its clock: ${ownTime(it.clock)}`,
  counted: (it) => `node ${it.node} counts ${leaseName(it.name)} until ${ownTime(it.until)}`,
  told_time_to_live: (it) => `a client is told that ${leaseName(it.name)} has ${lasting(it.left_ms)}`,
  wait_began: (it) =>
    `wait ${it.wait} on node ${it.node}, until ${seconds(it.until_ms)} at the latest`,
  wait_told: (it) =>
    `node ${it.node} tells who waits for ${leaseName(it.name)}: ${it.told.replaceAll("_", " ")}`,
  wait_ended: (it) => `wait ${it.wait} on node ${it.node} is over`,
  broken: (it) => `node ${it.node}: ${it.message}`,
  wrong: (it) => it.message,
  not_linear: (it) => it.message,
  expiry_proposed: (it) => `node ${it.node} proposes to revoke ${leaseName(it.name)}`,
  disk_lost: (it) => `node ${it.node} has lost its disk`,
  call_failed: (it) => `a call at node ${it.node} came to nothing in ${lasting(it.timeout_ms)}`,
  healed: () => "the faults are over",
  over: (it) =>
    `the run is over, ${counted(it.left.length, "lease")} left, ` +
    `${counted(it.behind.length, "member")} behind`,
  differs: (it) => `node ${it.node} differs after entry ${it.index}: ${it.row}`,
  applied: (it) => `node ${it.node} applied entry ${it.index}`,
  specified: (it) => `entry ${it.index} is in the log`,
  message: (it) =>
    `${endName(it.from)} → ${endName(it.to)}${it.arrived ? "" : ", lost"}: ${it.what}`,
};

const sentence = (entry) => {
  const words = SENTENCES[entry.kind];
  return words ? words(entry.fields) : inGeneral(entry.kind, entry.fields);
};

// What this page has no words for.
const inGeneral = (name, fields) => `${name.replaceAll("_", " ")} ${JSON.stringify(fields)}`;

// The parameters in words; what is calm is as harmless as it can be.
const PARAMETERS = {
  nodes: (it) => ["members", it.nodes],
  core: (it) => ["healed at the end", it.core, it.core === it.nodes],
  faulty_ms: (it) => ["faults until", lasting(it.faulty_ms)],
  longest_ttl: (it) => ["longest TTL", `${it.longest_ttl} s`],
  latency_ms: (it) => ["latency", `${it.latency_ms.join("–")} ms`],
  apply_lag_ms: (it) => ["apply lag", upTo(it.apply_lag_ms), it.apply_lag_ms === 0],
  lost_per_mille: (it) => ["messages lost", perMille(it.lost_per_mille), !it.lost_per_mille],
  repeated_per_mille: (it) => ["repeated", perMille(it.repeated_per_mille), !it.repeated_per_mille],
  duplicated_per_mille: (it) => [
    "proposals doubled",
    perMille(it.duplicated_per_mille),
    !it.duplicated_per_mille,
  ],
  promotion_lag_ms: (it) => ["promotion lag", upTo(it.promotion_lag_ms), it.promotion_lag_ms === 0],
  extend_ms: (it) => ["promotion adds", lasting(it.extend_ms), it.extend_ms === 0],
  drift_ppm: (it) => [
    "clock drift",
    `${it.drift_ppm.join(", ")} ppm`,
    it.drift_ppm.every((ppm) => ppm === 0),
  ],
  min_ttl: (it) => [
    "minimum TTL",
    `${it.min_ttl.join(", ")} s`,
    it.min_ttl.every((ttl) => ttl === it.min_ttl[0]),
  ],
  checkpoint_interval_ms: (it) => ["checkpoint every", lasting(it.checkpoint_interval_ms)],
  revoke_rate_per_sec: (it) => [
    "revoke rate",
    it.revoke_rate_per_sec === 0 ? "no limit" : `${it.revoke_rate_per_sec} / s`,
    it.revoke_rate_per_sec === 0,
  ],
  retry_interval_ms: (it) => ["retry after", lasting(it.retry_interval_ms)],
  expired_batch: (it) => ["expired batch", it.expired_batch],
  expired_capacity: (it) => ["room for batches", it.expired_capacity],
  durable: (it) => ["every command durable", it.durable ? "yes" : "no", it.durable],
  commit_interval_ms: (it) => ["batched writes wait", lasting(it.commit_interval_ms), it.durable],
  hash_seed: (it) => ["seed of the tables", it.hash_seed, it.hash_seed === 0],
  lost_checkpoints_per_mille: (it) => [
    "checkpoints lost",
    perMille(it.lost_checkpoints_per_mille),
    !it.lost_checkpoints_per_mille,
  ],
  refused_per_mille: (it) => [
    "proposals refused",
    perMille(it.refused_per_mille),
    !it.refused_per_mille,
  ],
  clock_lag_ms: (it) => ["clock lag", upTo(it.clock_lag_ms), !it.clock_lag_ms],
  clock_origin_ms: (it) => [
    "clocks start at",
    it.clock_origin_ms ? lasting(it.clock_origin_ms) : "anything",
    !it.clock_origin_ms,
  ],
  piece: (it) => ["a piece of work is", it.piece || "as in production", !it.piece],
  tags: (it) => ["promotion tags", it.tags || "as in production", !it.tags],
  meanwhile_per_mille: (it) => [
    "host busy in ports",
    perMille(it.meanwhile_per_mille),
    !it.meanwhile_per_mille,
  ],
  engine: (it) => ["members are", engineWords[it.engine], it.engine === "log"],
  raft: (it) => ["openraft", raftWords(it.raft), it.engine !== "raft"],
  remembered: (it) => ["proposals remembered", it.remembered || "as in production", !it.remembered],
  dropped_per_mille: (it) => [
    "calls dropped",
    perMille(it.dropped_per_mille),
    !it.dropped_per_mille,
  ],
  alone: (it) => ["stands alone", it.alone ? aloneWords(it.alone) : "no", !it.alone],
};

const engineWords = { log: "replicas over a hostile log", raft: "replicas on openraft" };

const raftWords = ({ voters, snapshot_after, keep_entries, chunk_bytes, uneven_ms }) =>
  [
    `${counted(voters, "voter")} at first`,
    `purged each ${snapshot_after} entries, of which ${keep_entries} stay`,
    `chunks of ${counted(chunk_bytes, "byte")}`,
    uneven_ms ? `disks that take up to ${lasting(uneven_ms)}` : "even disks",
  ].join(", ");

const aloneWords = ({
  in_memory,
  max_leases,
  stores_checkpoints,
  replays_items,
  pushes_checkpoints,
  tells_items,
  delivers,
  promotes_after_ms,
  strange_rows,
  keeps_rows,
  ids_of_member,
  max_writes,
  max_items,
}) =>
  [
    in_memory ? "in memory" : "on redb",
    max_leases ? `up to ${counted(max_leases, "lease")}` : "no limit",
    stores_checkpoints ? "checkpoints stored" : "checkpoints not stored",
    pushes_checkpoints ? "brought by the host" : "made by the lessor",
    replays_items ? "items with the host" : "items stored",
    tells_items ? "told of items" : "not told of items",
    delivers ? "expired leases revoked by the host" : "by the lessor",
    promotes_after_ms ? `promoted after ${lasting(promotes_after_ms)}` : "promoted at once",
    strange_rows ? "strange rows in the store" : "no strange rows",
    keeps_rows ? "rows of items with the host" : "no rows of items",
    ids_of_member ? "ids of a member" : "ids of epochs",
    `a commit after ${counted(max_writes || 50, "write")}`,
    max_items ? `up to ${counted(max_items, "item")}` : "items without a limit",
  ].join(", ");

const upTo = (ms) => (ms === 0 ? "none" : `≤ ${lasting(ms)}`);

const perMille = (count) => (count === 0 ? "none" : `${count / 10} %`);

// In the order of the words; what this page has none for comes last.
const parameterWords = (parameters) => {
  const rank = (name) => (name in PARAMETERS ? Object.keys(PARAMETERS).indexOf(name) : Infinity);
  const names = Object.keys(parameters).sort((one, other) => {
    const [left, right] = [rank(one), rank(other)];
    return left === right ? 0 : left - right;
  });
  return names.map((name) => {
    const words = PARAMETERS[name];
    const [label, value, isCalm] = words
      ? words(parameters)
      : [name.replaceAll("_", " "), JSON.stringify(parameters[name])];
    return { label, value: String(value), isCalm: isCalm ?? false };
  });
};
