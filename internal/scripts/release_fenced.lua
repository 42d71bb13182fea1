-- release with a fencing token: delete the lock if it is ours, then raise the
-- fence to ours: the tombstone that refuses an acquire of ours still on its way.
-- KEYS 1 lock, 2 fence    ARGV 1 token, 2 our fence, 3 the fence's TTL in ms
-- Replies 1 deleted, 0 nothing there, -1 somebody else's.
-- The delete goes first: without memory to spare only that is sure to pass.

-- What a key holds, and no more of it than a token can have, and one byte: it may be somebody else's, and huge.
local function value(key)
  local text = redis.pcall('GETRANGE', key, '0', '1024')
  if text == '' or type(text) == 'table' then -- nothing is there, or GETRANGE is not permitted
    return redis.call('GET', key)
  end
  return text
end

local holder = value(KEYS[1])
local answer = holder and -1 or 0
if holder == ARGV[1] then
  answer = redis.call('DEL', KEYS[1])
end
local fence = value(KEYS[2])
if fence and (#fence > 16 or not string.find(fence, '^%d+$')) then -- somebody else's: no acquire passes it
  return answer
end
if not fence or tonumber(fence) < tonumber(ARGV[2]) then
  redis.pcall('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
end
return answer
