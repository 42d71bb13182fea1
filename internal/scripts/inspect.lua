-- inspect: who holds the lock, and for how long.
-- KEYS 1 lock
-- Replies {} when nobody does, else {the holder's token, its time left in ms}.
-- No more of a value is read than a token can have, and one byte: it may be somebody else's, and huge.
local holder = redis.pcall('GETRANGE', KEYS[1], '0', '1024')
if holder == '' or type(holder) == 'table' then -- nothing is there, or GETRANGE is not permitted
  holder = redis.call('GET', KEYS[1])
end
if not holder then
  return {}
end
return {string.sub(holder, 1, 1025), redis.call('PTTL', KEYS[1])}
