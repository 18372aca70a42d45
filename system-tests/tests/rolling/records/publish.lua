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
return {epoch, seq, tip}
