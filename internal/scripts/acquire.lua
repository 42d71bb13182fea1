-- acquire: take the lock unless somebody has it.
-- KEYS 1 lock    ARGV 1 token, 2 TTL in ms
-- Replies {1} when taken, else {0, the holder's token, its time left in ms}.
-- No more of a value is read than a token can have, and one byte: it may be somebody else's, and huge.
local holder = redis.pcall('EXISTS', KEYS[1]) ~= 0 and redis.pcall('GETRANGE', KEYS[1], '0', '1024')
if holder == '' or type(holder) == 'table' then -- or GETRANGE is not permitted
  holder = redis.call('GET', KEYS[1])
end
if not holder then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return {1}
end
return {0, string.sub(holder, 1, 1025), redis.call('PTTL', KEYS[1])}
