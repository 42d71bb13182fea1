-- acquire: take the lock unless somebody has it.
-- KEYS 1 lock    ARGV 1 token, 2 TTL in ms
-- Replies {1} when taken, else {0, the holder's token, its time left in ms}.
local holder = redis.call('GET', KEYS[1])
if not holder then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return {1}
end
return {0, holder, redis.call('PTTL', KEYS[1])}
