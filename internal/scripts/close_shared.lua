-- close shared: let no more readers in, for one that waits to have the lock alone.
-- KEYS 1 lock, 2 what closes it to readers    ARGV 1 whose wish it is, 2 for how many ms
-- Replies 1 when it is closed, 0 when no reader is in: so one session of readers at least is between two of these.
-- It ends by itself, soon after the last reader has left (release_shared), or when who wished it takes it back.
local holder = redis.pcall('GETRANGE', KEYS[1], '0', '1024')
if type(holder) == 'table' then -- GETRANGE is not permitted
  holder = redis.call('GET', KEYS[1])
end
if holder ~= '~shared' then
  return 0
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
