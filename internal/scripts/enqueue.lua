-- enqueue: take the last place in the queue for a lock.
-- KEYS 1 lock, 2 order, 3 lives, 4 our bell    ARGV 1 our place, 2 its life in ms
-- Replies the place before ours, or "", then for how many ms the lock is held, or -1 for ever, -2 it is free, -3 it is
-- free and nobody waits, so that no place was taken.
-- order: the places by their numbers, which begin with the time in µs. lives: the places by when they end, in ms.
-- A bell is a key that the next in the queue watches: it goes when its place does.
local place, life = ARGV[1], tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local dead = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, 1000)
if #dead > 0 then
  redis.call('ZREM', KEYS[2], unpack(dead))
  redis.call('ZREM', KEYS[3], unpack(dead))
end
local left = redis.call('PTTL', KEYS[1])
local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
if left == -2 and #last == 0 then
  return {'', -3}
end
local number = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
if #last > 0 then
  number = math.max(number, tonumber(last[2]) + 1)
end
redis.call('ZADD', KEYS[2], 'NX', string.format('%.0f', number), place)
redis.call('ZADD', KEYS[3], now + life, place)
redis.call('PEXPIRE', KEYS[2], life)
redis.call('PEXPIRE', KEYS[3], life)
redis.call('SET', KEYS[4], '1', 'PX', life)
return {last[1] or '', left}
