-- count readers: how many share a lock.
-- KEYS 1 readers
-- Replies how many are in: that means something only while the lock has the mark '~shared'.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
return redis.call('ZCOUNT', KEYS[1], '(' .. now, '+inf')
