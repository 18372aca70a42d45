//! What must happen in Redis as one step, as Lua.
//!
//! Each script is sent whole: Redis keeps what it has compiled by digest, and a script that was
//! sent is never missing after a failover. Keys of single sessions are found through the index of
//! their user, so the scripts need one Redis, not a cluster.
//!
//! A script that ends sessions deletes before it writes: under `maxmemory` Redis refuses the first
//! write of a script, and not what comes after a deletion.
//!
//! Redis does nothing else while a script runs, so none does work for more sessions than one user may
//! have, or takes a step of such work.

/// Writes a new session and its place in the index, unless a guard refuses it.
///
/// KEYS: session, index, guards by time of the user and of all, guards by generation of both. ARGV:
/// record, seen, created at, seconds to live, seconds to the absolute limit, sid, key prefix, the most
/// sessions of the user, generation (empty for none). Answers 1, or 0 when refused.
///
/// Three other places of the index are looked at, and forgotten when their session has run out:
/// so the index stays about as large as what lives, whatever the number of logins. When it is too
/// large all such places are forgotten, and if that is not enough, the oldest sessions end: a `sid`
/// begins with its time.
pub(super) const CREATE: &str = r"
for guard = 3, 4 do
  local before = redis.call('GET', KEYS[guard])
  if before and tonumber(before) >= tonumber(ARGV[3]) then return 0 end
end
for guard = 5, 6 do
  local first = redis.call('GET', KEYS[guard])
  if first and ARGV[9] ~= '' and tonumber(first) > tonumber(ARGV[9]) then return 0 end
end
redis.call('HSET', KEYS[1], 'record', ARGV[1], 'seen', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[4])
local some = redis.call('HRANDFIELD', KEYS[2], 3, 'WITHVALUES')
for i = 1, #some, 2 do
  if redis.call('EXISTS', ARGV[7] .. some[i + 1]) == 0 then redis.call('HDEL', KEYS[2], some[i]) end
end
redis.call('HSET', KEYS[2], ARGV[6], string.sub(KEYS[1], #ARGV[7] + 1))
if redis.call('TTL', KEYS[2]) < tonumber(ARGV[5]) then redis.call('EXPIRE', KEYS[2], ARGV[5]) end
local over = redis.call('HLEN', KEYS[2]) - tonumber(ARGV[8])
if over <= 0 then return 1 end
local sids, living = redis.call('HKEYS', KEYS[2]), {}
table.sort(sids)
for _, sid in ipairs(sids) do
  local key = ARGV[7] .. redis.call('HGET', KEYS[2], sid)
  if redis.call('EXISTS', key) == 0 then
    redis.call('HDEL', KEYS[2], sid)
    over = over - 1
  elseif sid ~= ARGV[6] then
    living[#living + 1] = {sid, key}
  end
end
for i = 1, math.min(over, #living) do
  redis.call('DEL', living[i][2])
  redis.call('HDEL', KEYS[2], living[i][1])
end
return 1";

/// Renews a session only while it exists: a late touch must not bring back an ended one.
///
/// KEYS: session. ARGV: seen, seconds to live.
///
/// The limit comes first: a full Redis refuses the first write of a script if it needs memory, and
/// a session that is in use must not end for that.
pub(super) const TOUCH: &str = r"
if redis.call('EXPIRE', KEYS[1], ARGV[2]) == 1 then
  redis.call('HSET', KEYS[1], 'seen', ARGV[1])
end
return 0";

/// Ends a session by its key. KEYS: session. ARGV: index prefix. Answers the record, or nil.
pub(super) const END: &str = r"
local text = redis.call('HGET', KEYS[1], 'record')
redis.call('DEL', KEYS[1])
if not text then return false end
local read, record = pcall(cjson.decode, text)
if read and record.sid then redis.call('HDEL', ARGV[1] .. record.subject, record.sid) end
return text";

/// Ends a session by the id that lists show. KEYS: index. ARGV: sid, key prefix. Answers the
/// record, or nil.
pub(super) const END_SID: &str = r"
local digest = redis.call('HGET', KEYS[1], ARGV[1])
if not digest then return false end
local text = redis.call('HGET', ARGV[2] .. digest, 'record')
redis.call('DEL', ARGV[2] .. digest)
redis.call('HDEL', KEYS[1], ARGV[1])
return text";

/// Ends a session that stands in one of some indices. KEYS: indices. ARGV: sid, key prefix. Answers
/// how many ended.
pub(super) const END_SID_IN: &str = r"
local ended = 0
for _, index in ipairs(KEYS) do
  local digest = redis.call('HGET', index, ARGV[1])
  if digest then
    ended = ended + redis.call('DEL', ARGV[2] .. digest)
    redis.call('HDEL', index, ARGV[1])
  end
end
return ended";

/// Raises a guard.
macro_rules! raise {
    () => {
        r"
local function raise(key, value, seconds)
  if tonumber(redis.call('GET', key) or '0') < tonumber(value) then
    redis.call('SET', key, value, 'EX', seconds)
  end
end
"
    };
}

/// Whether a record is of a session that an end ends.
macro_rules! is_over {
    () => {
        r"
local function is_over(record, before, generation)
  return record.created_at <= tonumber(before)
    or (record.generation or math.huge) < tonumber(generation)
end
"
    };
}

/// Takes a step of ending what a user began at or before a second or in an earlier generation, but for
/// one session, and refuses what is still under way. KEYS: index, guards of the user by time and by
/// generation. ARGV: cursor, places of a step, before, generation, key prefix, seconds the guards live,
/// sid to spare. Answers the next cursor and how many ended.
pub(super) const END_ALL: &str = concat!(
    raise!(),
    is_over!(),
    r"
local ended = 0
local step = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local some = step[2]
for i = 1, #some, 2 do
  local key = ARGV[5] .. some[i + 1]
  local text = redis.call('HGET', key, 'record')
  local read, record = pcall(cjson.decode, text or '')
  if not read then
    redis.call('DEL', key)
    redis.call('HDEL', KEYS[1], some[i])
  elseif some[i] ~= ARGV[7] and is_over(record, ARGV[3], ARGV[4]) then
    ended = ended + redis.call('DEL', key)
    redis.call('HDEL', KEYS[1], some[i])
  end
end
raise(KEYS[2], ARGV[3], ARGV[6])
raise(KEYS[3], ARGV[4], ARGV[6])
return {step[1], ended}"
);

/// Puts the guards of everybody. KEYS: guards of all by time and by generation. ARGV: before,
/// generation, seconds they live.
pub(super) const GUARD: &str = concat!(
    raise!(),
    r"
raise(KEYS[1], ARGV[1], ARGV[3])
raise(KEYS[2], ARGV[2], ARGV[3])
return 0"
);

/// Ends those of some sessions that began at or before a second or in an earlier generation. KEYS:
/// sessions. ARGV: before, generation, index prefix. Answers how many ended. What cannot be read
/// cannot be spared.
pub(super) const SWEEP: &str = concat!(
    is_over!(),
    r"
local ended = 0
for _, key in ipairs(KEYS) do
  local text = redis.call('HGET', key, 'record')
  local read, record = pcall(cjson.decode, text or '')
  if not read then
    ended = ended + redis.call('DEL', key)
  elseif is_over(record, ARGV[1], ARGV[2]) then
    ended = ended + redis.call('DEL', key)
    if record.sid then redis.call('HDEL', ARGV[3] .. record.subject, record.sid) end
  end
end
return ended"
);

/// The latest sessions of a user. KEYS: index. ARGV: key prefix, how many at most. Answers pairs of
/// record and seen.
pub(super) const LIST: &str = r"
local found = {}
local sids = redis.call('HKEYS', KEYS[1])
table.sort(sids, function(one, other) return one > other end)
for i = 1, math.min(#sids, tonumber(ARGV[2])) do
  local session = redis.call('HMGET', ARGV[1] .. redis.call('HGET', KEYS[1], sids[i]), 'record', 'seen')
  if session[1] then
    found[#found + 1] = session
  else
    redis.call('HDEL', KEYS[1], sids[i])
  end
end
return found";

/// Whether a user has a session of this id. KEYS: index. ARGV: sid, key prefix. Answers 1 or 0.
pub(super) const HAS_SID: &str = r"
local digest = redis.call('HGET', KEYS[1], ARGV[1])
if not digest then return 0 end
return redis.call('HEXISTS', ARGV[2] .. digest, 'record')";

/// Takes a step of giving every session of a user new roles, and their generation, and refuses logins
/// that still have the old ones. KEYS: index, guards of the user by time and by generation. ARGV:
/// cursor, places of a step, before, generation, key prefix, seconds the guards live, roles as a JSON
/// list. Answers the next cursor and how many sessions changed.
///
/// Lua cannot tell an empty list from an empty object, so the list is put in as text. A name
/// cannot imitate the place: quotation marks within a value are escaped.
pub(super) const SET_ROLES: &str = concat!(
    raise!(),
    r#"
local changed = 0
local step = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local some = step[2]
for i = 1, #some, 2 do
  local key = ARGV[5] .. some[i + 1]
  local text = redis.call('HGET', key, 'record')
  local read, record = pcall(cjson.decode, text or '')
  if read then
    record.roles = '@'
    record.generation = record.generation and math.max(record.generation, tonumber(ARGV[4]))
    local encoded = cjson.encode(record)
    local from, to = string.find(encoded, '"roles":"@"', 1, true)
    redis.call('HSET', key, 'record',
      string.sub(encoded, 1, from - 1) .. '"roles":' .. ARGV[7] .. string.sub(encoded, to + 1))
    changed = changed + 1
  end
end
raise(KEYS[2], ARGV[3], ARGV[6])
raise(KEYS[3], ARGV[4], ARGV[6])
return {step[1], changed}"#
);

/// Writes the cart of a session if it is at the version that the change was made from, and only
/// while the session exists: a late write must not bring back an ended one.
///
/// KEYS: session. ARGV: version that it was made from, cart. Answers what happened, and the version
/// that is there now.
pub(super) const WRITE_CART: &str = r"
if redis.call('HEXISTS', KEYS[1], 'record') == 0 then return {'ended', 0} end
local version = redis.call('HGET', KEYS[1], 'cart_version') or '0'
if version ~= ARGV[1] then return {'changed', tonumber(version)} end
redis.call('HSET', KEYS[1], 'cart', ARGV[2])
return {'written', redis.call('HINCRBY', KEYS[1], 'cart_version', 1)}";
