-- keep place: let each of our places in queues live on, and look around.
-- KEYS for each place: lock, order, lives, bell    ARGV 1 life in ms, then the places
-- Replies for each place: the place before it, or "", for how many ms the lock is held, or -1 for ever, -2 it is
-- free, -3 the place is not there any more, and, if it is free although others are before it, the first of them, else "";
-- or the error's text, -4 and "", so that one bad key does not cost the others their places.
-- Who has stood for long sees to it that the place before it ends one day: its end may have been lost, or be far off,
-- since the clock was stepped back. Whoever lives there puts it off.
-- The life of a bell is not prolonged more often than it must: who watches it is told of that.
local life = tonumber(ARGV[1])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local function keep(place, lock, order, lives, bell)
  local number = redis.call('ZSCORE', order, place)
  if not number then
    return '', -3, ''
  end
  redis.call('ZADD', lives, now + life, place)
  local dead = redis.call('ZRANGEBYSCORE', lives, '-inf', now, 'LIMIT', 0, 1000)
  if #dead > 0 then
    redis.call('ZREM', order, unpack(dead))
    redis.call('ZREM', lives, unpack(dead))
  end
  redis.call('PEXPIRE', order, life)
  redis.call('PEXPIRE', lives, life)
  if redis.call('PTTL', bell) < life / 2 then
    redis.call('SET', bell, '1', 'PX', life)
  end
  local before = redis.call('ZREVRANGEBYSCORE', order, '(' .. number, '-inf', 'LIMIT', 0, 1)
  if before[1] and math.abs(now - number / 1000) > life then
    local ends = redis.call('ZSCORE', lives, before[1])
    if not ends or tonumber(ends) > now + life then
      redis.call('ZADD', lives, now + life, before[1])
    end
  end
  local left = redis.call('PTTL', lock)
  local first = left == -2 and before[1] and redis.call('ZRANGE', order, 0, 0) or {}
  return before[1] or '', left, first[1] or ''
end
local replies = {}
for i = 1, #KEYS / 4 do
  local kept, before, left, first = pcall(keep, ARGV[i + 1], KEYS[4 * i - 3], KEYS[4 * i - 2], KEYS[4 * i - 1], KEYS[4 * i])
  if not kept then
    before, left, first = type(before) == 'table' and before.err or tostring(before), -4, ''
  end
  replies[3 * i - 2], replies[3 * i - 1], replies[3 * i] = before, left, first
end
return replies
