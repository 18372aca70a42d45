//! What must happen to the feed as one step, as Lua. Each step is short, however long the feed is.
//!
//! Among the current entries stands the epoch itself, for ever: when it is missing, the entries
//! were lost apart from the head and a snapshot of them would lie.

/// Forgets some entries that have run out. `KEYS[3]`: current. `ARGV[1]`: now.
macro_rules! forget {
    ($most:literal) => {
        concat!(
            "\nlocal over = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. ARGV[1], 'LIMIT', 0, ",
            $most,
            ")\nif #over > 0 then redis.call('ZREM', KEYS[3], unpack(over)) end\n"
        )
    };
}

/// Numbers entries and adds them, unless there is no feed. An entry that is there is left out, and
/// one that a later one of the same name takes in.
///
/// KEYS: head, stream, current, and for each name that entries have in common which was the last. ARGV:
/// now, seconds to live, length of the stream, and for each entry its JSON, until, tip, the number of
/// the key of its name (0 for none), and what orders entries of a name. Answers epoch, number and tip,
/// or nil.
pub(super) const PUBLISH: &str = concat!(
    r"
local head = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'tip')
if not head[1] then return false end
local epoch, seq, tip = head[1], tonumber(head[2]), head[3]
for i = 4, #ARGV, 5 do
  local entry, seconds, name = ARGV[i], ARGV[i + 1] - ARGV[1], tonumber(ARGV[i + 3])
  local is_new = not redis.call('ZSCORE', KEYS[3], entry)
  if is_new and name > 0 then
    local last = redis.call('HMGET', KEYS[name], 'order', 'entry')
    if last[1] and tonumber(last[1]) > tonumber(ARGV[i + 4]) then
      is_new = false
    else
      if last[2] then redis.call('ZREM', KEYS[3], last[2]) end
      redis.call('HSET', KEYS[name], 'order', ARGV[i + 4], 'entry', entry)
      redis.call('EXPIRE', KEYS[name], math.max(seconds, 1))
    end
  end
  if is_new then
    seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
    redis.call('XADD', KEYS[2], 'MAXLEN', '=', ARGV[3], seq .. '-0',
      'entry', entry, 'epoch', epoch, 'tip', ARGV[i + 2], 'after', tip)
    redis.call('ZADD', KEYS[3], ARGV[i + 1], entry)
    tip = ARGV[i + 2]
    redis.call('HSET', KEYS[1], 'tip', tip)
  end
end",
    forget!(100),
    r"
for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[2]) end
return {epoch, seq, tip}"
);

/// Tells where the feed stands and whether the entry that was its last is still what it was.
///
/// KEYS: head, stream, current. ARGV: now, seconds to live, known epoch (empty for none), number,
/// tip. Answers epoch, number, tip and 1 or 0, or nil.
pub(super) const INSPECT: &str = concat!(
    r"
local head = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'tip')
if not head[1] then return false end",
    forget!(1_000),
    r"
for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[2]) end
local whole = redis.call('ZSCORE', KEYS[3], head[1]) and 1 or 0
local seq, known = tonumber(head[2]), tonumber(ARGV[4])
if head[1] == ARGV[3] then
  if seq < known then
    whole = 0
  elseif seq == known then
    if head[3] ~= ARGV[5] then whole = 0 end
  elseif known > 0 then
    local found = redis.call('XRANGE', KEYS[2], known .. '-0', known .. '-0')[1]
    if not found or found[2][6] ~= ARGV[5] then whole = 0 end
  end
end
return {head[1], seq, head[3], whole}"
);

/// Takes the number of a round. KEYS: head. Answers epoch and number, or nil.
pub(super) const BEGIN_ROUND: &str = r"
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return false end
return {epoch, redis.call('HINCRBY', KEYS[1], 'round', 1)}";

/// Writes that a round has ended, if the feed is still the one that it was about. KEYS: head. ARGV:
/// epoch, number.
pub(super) const END_ROUND: &str = r"
local head = redis.call('HMGET', KEYS[1], 'epoch', 'ended')
if head[1] == ARGV[1] and tonumber(head[2] or 0) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'ended', ARGV[2])
end
return 0";

/// Puts entries into a feed that is made anew, or lacks them. Without a head nobody reads them yet.
/// KEYS: current. ARGV: seconds to live without a head, and for each entry until and its JSON.
pub(super) const RESTORE: &str = r"
for i = 2, #ARGV, 2 do redis.call('ZADD', KEYS[1], ARGV[i], ARGV[i + 1]) end
if redis.call('TTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return 0";

/// Begins a new epoch of the entries that are there, unless the feed is another than expected.
///
/// KEYS: head, stream, current. ARGV: new epoch, expected epoch (empty for none), seconds to live.
/// Answers epoch, number and tip, or nil.
pub(super) const REBUILD: &str = r"
local old = redis.call('HGET', KEYS[1], 'epoch') or ''
if old ~= ARGV[2] then return false end
redis.call('ZREM', KEYS[3], old)
redis.call('UNLINK', KEYS[1], KEYS[2])
redis.call('ZADD', KEYS[3], '+inf', ARGV[1])
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'seq', 0, 'tip', ARGV[1], 'round', 0, 'ended', 0)
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[3], ARGV[3])
return {ARGV[1], 0, ARGV[1]}";
