-- release: delete the lock if it is ours.
-- KEYS 1 lock    ARGV 1 token
-- Replies 1 deleted, 0 nothing there, -1 somebody else's.
-- No more of a value is read than a token can have, and one byte: it may be somebody else's, and huge.
local holder = redis.pcall('GETRANGE', KEYS[1], '0', '1024')
if holder == '' or type(holder) == 'table' then -- nothing is there, or GETRANGE is not permitted
  holder = redis.call('GET', KEYS[1])
end
if holder == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return holder and -1 or 0
