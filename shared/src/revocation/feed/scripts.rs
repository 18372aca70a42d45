//! What must happen to the feed as one step, as Lua.
//!
//! Among the current entries stands the epoch itself, for ever: when it is missing, the entries
//! were lost apart from the head and a snapshot of them would lie.

/// Numbers entries and adds them, unless there is no feed.
///
/// KEYS: head, stream, current. ARGV: now, seconds to live, length of the stream, and for each entry
/// its JSON, until and tip. Answers epoch, number and tip, or nil.
pub(super) const PUBLISH: &str = r"
local head = redis.call('HMGET', KEYS[1], 'epoch', 'tip')
if not head[1] then return false end
local epoch, tip, seq = head[1], head[2], 0
for i = 4, #ARGV, 3 do
  seq = redis.call('HINCRBY', KEYS[1], 'seq', 1)
  redis.call('XADD', KEYS[2], 'MAXLEN', '=', ARGV[3], seq .. '-0',
    'entry', ARGV[i], 'epoch', epoch, 'tip', ARGV[i + 2], 'after', tip)
  redis.call('ZADD', KEYS[3], ARGV[i + 1], ARGV[i])
  tip = ARGV[i + 2]
end
redis.call('HSET', KEYS[1], 'tip', tip)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '(' .. ARGV[1])
for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[2]) end
return {epoch, seq, tip}";

/// Tells where the feed stands and whether the entry that was its last is still what it was.
///
/// KEYS: head, stream, current. ARGV: seconds to live, known epoch (empty for none), number, tip.
/// Answers epoch, number, tip and 1 or 0, or nil.
pub(super) const INSPECT: &str = r"
local head = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'tip')
if not head[1] then return false end
for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[1]) end
local whole = redis.call('ZSCORE', KEYS[3], head[1]) and 1 or 0
local seq, known = tonumber(head[2]), tonumber(ARGV[3])
if head[1] == ARGV[2] then
  if seq < known then
    whole = 0
  elseif seq == known then
    if head[3] ~= ARGV[4] then whole = 0 end
  elseif known > 0 then
    local found = redis.call('XRANGE', KEYS[2], known .. '-0', known .. '-0')[1]
    if not found or found[2][6] ~= ARGV[4] then whole = 0 end
  end
end
return {head[1], seq, head[3], whole}";

/// Keeps entries beside the feed while it is made anew. KEYS: aside. ARGV: seconds to live, and for
/// each entry until and its JSON.
pub(super) const PUT_ASIDE: &str = r"
for i = 2, #ARGV, 2 do redis.call('ZADD', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 0";

/// Puts what was kept beside in the place of the feed, unless the feed is another than expected.
/// Entries that were published meanwhile are kept.
///
/// KEYS: head, stream, current, aside. ARGV: new epoch, expected epoch (empty for none), seconds to
/// live. Answers epoch, number and tip, or nil.
pub(super) const REBUILD: &str = r"
local old = redis.call('HGET', KEYS[1], 'epoch') or ''
if old ~= ARGV[2] then
  redis.call('DEL', KEYS[4])
  return false
end
redis.call('ZUNIONSTORE', KEYS[4], 2, KEYS[4], KEYS[3], 'AGGREGATE', 'MAX')
redis.call('ZREM', KEYS[4], old)
redis.call('ZADD', KEYS[4], '+inf', ARGV[1])
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('RENAME', KEYS[4], KEYS[3])
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'seq', 0, 'tip', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[3], ARGV[3])
return {ARGV[1], 0, ARGV[1]}";
