-- acquire shared: come in beside others who share the lock, unless somebody has it alone or waits to.
-- KEYS 1 lock, 2 readers, 3 what closes it to readers    ARGV 1 token, 2 TTL in ms
-- Replies {1} when in, else {0, the holder's token, its time left in ms}. Where it is closed the holder is '~shared', or
-- '~writers' when no reader is in, and the time is for how long it is closed.
-- A lock that is shared has the mark '~shared', which lives at least as long as each reader. readers: their tokens by when they
-- end, in ms of this server's clock. They mean nothing but under a mark, and who makes the mark deletes them first.
-- No more of a value is read than a token can have, and one byte: it may be somebody else's, and huge.
local there = redis.call('EXISTS', KEYS[1], KEYS[3])
local clock = redis.call('TIME')
local now, ttl = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000), tonumber(ARGV[2])
if there == 0 then
  redis.call('SET', KEYS[1], '~shared', 'PX', ttl)
  redis.call('DEL', KEYS[2])
  redis.call('ZADD', KEYS[2], now + ttl, ARGV[1])
  redis.call('PEXPIRE', KEYS[2], ttl)
  return {1}
end
local holder = redis.pcall('GETRANGE', KEYS[1], '0', '1024')
if holder == '' or type(holder) == 'table' then -- nothing is there, or GETRANGE is not permitted
  holder = redis.call('GET', KEYS[1])
end
if holder and holder ~= '~shared' then
  return {0, string.sub(holder, 1, 1025), redis.call('PTTL', KEYS[1])}
end
local ends = holder and tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or 0) or 0
if not holder or there == 2 and ends <= now then
  return {0, holder or '~writers', redis.call('PTTL', KEYS[3])}
end
redis.call('ZADD', KEYS[2], math.max(ends, now + ttl), ARGV[1])
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left < ttl then
  redis.call('PEXPIRE', KEYS[1], ttl)
  redis.call('PEXPIRE', KEYS[2], ttl)
end
return {1}
