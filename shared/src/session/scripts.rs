//! What must happen in Redis as one step, as Lua.
//!
//! Each script is sent whole: Redis keeps what it has compiled by digest, and a script that was
//! sent is never missing after a failover. It touches no key but those in `KEYS`, and these are in one
//! hash slot, so that a cluster runs it too: what an index leads to is read first, and then named.
//!
//! A script that ends sessions deletes before it writes: under `maxmemory` Redis refuses the first
//! write of a script, and not what comes after a deletion.
//!
//! Redis does nothing else while a script runs, so none does work for more sessions than one user may
//! have, or takes a step of such work.

/// Writes a new session, its place in the index and its user, unless a guard refuses it.
///
/// KEYS: session, index, users, guards by time of the user and of all, guards by generation of both.
/// ARGV: record, seen, created at, seconds to live, seconds to the absolute limit, sid, digest,
/// generation (empty for none), user, absolute limit, up to when users have no session any more, seconds
/// that clocks may differ.
/// Answers nil when refused, or how many places the index has and up to three of the others, which
/// may be of sessions that have run out.
///
/// Users are forgotten by the clock of Redis too, which its time limits go by: by that of a caller alone,
/// which may be ahead, users who have sessions would be, and an end of all would spare these. A Redis
/// that does not permit `TIME` forgets nobody.
pub(super) const CREATE: &str = r"
for guard = 4, 5 do
  local before = redis.call('GET', KEYS[guard])
  if before and tonumber(before) >= tonumber(ARGV[3]) then return false end
end
for guard = 6, 7 do
  local first = redis.call('GET', KEYS[guard])
  if first and ARGV[8] ~= '' and tonumber(first) > tonumber(ARGV[8]) then return false end
end
redis.call('HSET', KEYS[1], 'record', ARGV[1], 'seen', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[4])
local some = redis.call('HRANDFIELD', KEYS[2], 3, 'WITHVALUES')
redis.call('HSET', KEYS[2], ARGV[6], ARGV[7])
local time = redis.pcall('TIME')
if not time.err then
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', math.min(ARGV[11], time[1] - ARGV[12]))
end
redis.call('ZADD', KEYS[3], 'GT', ARGV[10], ARGV[9])
for i = 2, 3 do
  if redis.call('TTL', KEYS[i]) < tonumber(ARGV[5]) then redis.call('EXPIRE', KEYS[i], ARGV[5]) end
end
return {redis.call('HLEN', KEYS[2]), some}";

/// Forgets places of sessions that have run out, and ends the oldest of the others while there are too
/// many. KEYS: index, sessions from the oldest on. ARGV: how many too many, and the sid of each.
pub(super) const TRIM: &str = r"
local over, living = tonumber(ARGV[1]), {}
for i = 2, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    redis.call('HDEL', KEYS[1], ARGV[i])
    over = over - 1
  else
    living[#living + 1] = i
  end
end
for i = 1, math.min(over, #living) do
  redis.call('DEL', KEYS[living[i]])
  redis.call('HDEL', KEYS[1], ARGV[living[i]])
end
return 0";

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

/// Ends a session. KEYS: session, and its index where that is known. ARGV: sid. Answers the record, or
/// nil.
pub(super) const END: &str = r"
local text = redis.call('HGET', KEYS[1], 'record')
redis.call('DEL', KEYS[1])
if KEYS[2] then redis.call('HDEL', KEYS[2], ARGV[1]) end
return text";

/// Finds the session of an id in some indices. KEYS: indices. ARGV: sid. Answers which of the indices,
/// and the digest, or nil.
pub(super) const FIND: &str = r"
for i = 1, #KEYS do
  local digest = redis.call('HGET', KEYS[i], ARGV[1])
  if digest then return {i, digest} end
end
return false";

/// What is in some indices. KEYS: indices. Answers of each the sids, each with its digest.
pub(super) const INDICES: &str = r"
local found = {}
for i = 1, #KEYS do found[i] = redis.call('HGETALL', KEYS[i]) end
return found";

/// Puts guards up. KEYS: guards by time and by generation, and for those of everybody the users.
/// ARGV: before, generation, seconds they live. Answers the users.
///
/// A guard that stands is renewed first: that takes no memory, so a full Redis permits it, and then the
/// rest of the script.
pub(super) const GUARD: &str = r"
for i = 1, 2 do
  redis.call('EXPIRE', KEYS[i], ARGV[3])
  if tonumber(redis.call('GET', KEYS[i]) or '0') < tonumber(ARGV[i]) then
    redis.call('SET', KEYS[i], ARGV[i], 'EX', ARGV[3])
  end
end
if not KEYS[3] then return {} end
return redis.call('ZRANGE', KEYS[3], 0, -1)";

/// Ends those of some sessions that began at or before a second or in an earlier generation. KEYS:
/// sessions, and then their indices where these are known. ARGV: before, generation, and of each
/// session the sid and which of the keys its index is, if any. Answers how many ended. What cannot be
/// read cannot be spared.
pub(super) const SWEEP: &str = r"
local ended = 0
for i = 1, (#ARGV - 2) / 2 do
  local text = redis.call('HGET', KEYS[i], 'record')
  local read, record = pcall(cjson.decode, text or '')
  if not read or type(record) ~= 'table' or type(record.created_at) ~= 'number'
    or record.created_at <= tonumber(ARGV[1])
    or (tonumber(record.generation) or math.huge) < tonumber(ARGV[2]) then
    ended = ended + redis.call('DEL', KEYS[i])
    local index = tonumber(ARGV[2 * i + 2])
    if index > 0 then redis.call('HDEL', KEYS[index], ARGV[2 * i + 1]) end
  end
end
return ended";

/// Some sessions of a user. KEYS: index, sessions. ARGV: the sid of each. Answers pairs of record and
/// seen, and forgets the places of those that have run out.
pub(super) const LIST: &str = r"
local found = {}
for i = 2, #KEYS do
  local session = redis.call('HMGET', KEYS[i], 'record', 'seen')
  if session[1] then
    found[#found + 1] = session
  else
    redis.call('HDEL', KEYS[1], ARGV[i - 1])
  end
end
return found";

/// Gives sessions new roles, and their generation. KEYS: sessions. ARGV: generation, roles as a JSON
/// list. Answers how many changed.
///
/// Lua cannot tell an empty list from an empty object, so the list is put in as text. A name
/// cannot imitate the place: quotation marks within a value are escaped.
pub(super) const SET_ROLES: &str = r#"
local changed = 0
for i = 1, #KEYS do
  local text = redis.call('HGET', KEYS[i], 'record')
  local read, record = pcall(cjson.decode, text or '')
  if read and type(record) == 'table' then
    record.roles = '@'
    local generation = tonumber(record.generation)
    record.generation = generation and math.max(generation, tonumber(ARGV[1]))
    local encoded = cjson.encode(record)
    local from, to = string.find(encoded, '"roles":"@"', 1, true)
    redis.call('HSET', KEYS[i], 'record',
      string.sub(encoded, 1, from - 1) .. '"roles":' .. ARGV[2] .. string.sub(encoded, to + 1))
    changed = changed + 1
  end
end
return changed"#;

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

#[cfg(test)]
mod tests {
    #[test]
    fn every_key_that_a_script_touches_is_one_of_its_keys() {
        let sources = [
            include_str!("scripts.rs"),
            include_str!("../revocation/feed/scripts.rs"),
        ];
        // So that these lines are not found themselves.
        let call = ["redis.", "call('"].concat();
        let mut found = 0;
        for part in sources
            .iter()
            .flat_map(|source| source.split(&call).skip(1))
        {
            let (_, arguments) = part.split_once('\'').expect("a name ends");
            assert!(arguments.starts_with(", KEYS["), "{call}{part}");
            found += 1;
        }
        assert!(found > 50, "{found}");
    }
}
