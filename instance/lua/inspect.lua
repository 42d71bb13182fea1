-- inspect: who holds the lock, and for how long.
-- KEYS 1 lock
-- Replies {} when nobody does, else {the holder's token, its time left in ms}.
local holder = redis.call('GET', KEYS[1])
if not holder then
  return {}
end
return {holder, redis.call('PTTL', KEYS[1])}
