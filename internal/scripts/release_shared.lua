-- release shared: leave those who share the lock, and delete it when nobody is left.
-- KEYS 1 lock, 2 readers, 3 what closes it to readers
-- ARGV 1 token, 2 for how many ms a lock that is closed stays so when the last reader has left
-- Replies 1 left, 0 was not in, -1 somebody has the lock alone.
-- Readers that have died keep it for as long as they said, and no longer, whoever has stayed or said more: when the one leaves
-- that would have stayed longest, the lock ends with those that are left. (A tenth of a second does not matter: each change of
-- the lock is told to whoever waits for it.)
-- No more of a value is read than a token can have, and one byte: it may be somebody else's, and huge.
local holder = redis.pcall('GETRANGE', KEYS[1], '0', '1024')
if holder == '' or type(holder) == 'table' then -- nothing is there, or GETRANGE is not permitted
  holder = redis.call('GET', KEYS[1])
end
if holder ~= '~shared' then
  return holder and -1 or 0
end
local was = redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 1 then
  local clock = redis.call('TIME')
  local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
  local dead = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 1000)
  if #dead > 0 then
    redis.call('ZREM', KEYS[2], unpack(dead))
  end
  local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
  local rest = last[2] and tonumber(last[2]) - now or 0
  if rest > 0 then
    if redis.call('PTTL', KEYS[1]) > rest + 100 then
      redis.call('PEXPIRE', KEYS[1], rest)
      redis.call('PEXPIRE', KEYS[2], rest)
    end
    return was
  end
end
redis.call('DEL', KEYS[1])
redis.call('PEXPIRE', KEYS[3], ARGV[2])
return was
