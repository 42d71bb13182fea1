-- release: delete the lock if it is ours.
-- KEYS 1 lock    ARGV 1 token
-- Replies 1 deleted, 0 nothing there, -1 somebody else's.
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return holder and -1 or 0
