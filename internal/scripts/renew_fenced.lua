-- renew with fencing tokens: as renew, and the fence's life goes on with the
-- lock's, so that no lock outlives the fence that guards it.
-- KEYS for each lock: lock, fence    ARGV for each lock: token, TTL in ms, the fence's TTL in ms
-- Replies as renew does.

-- Whether a key holds a number of ours, which have 16 digits at most: what is somebody else's is left alone.
local function numbered(key)
  local text = redis.pcall('GETRANGE', key, '0', '1024')
  if text == '' or type(text) == 'table' then -- nothing is there, or GETRANGE is not permitted
    text = redis.pcall('GET', key)
  end
  return type(text) == 'string' and #text <= 16 and string.find(text, '^%d+$')
end

local clock = redis.pcall('TIME')
local votes = {clock.err and -1 or tonumber(clock[1]) * 1000000 + tonumber(clock[2])}
for i = 1, #KEYS / 2 do
  local key, fence = KEYS[2 * i - 1], KEYS[2 * i]
  local token, ttl, fencettl = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  -- No more of a value is read than a token can have, and one byte: it may be somebody else's, and huge.
  local holder = redis.pcall('GETRANGE', key, '0', '1024')
  if holder == '' or type(holder) == 'table' then -- nothing is there, or GETRANGE is not permitted
    holder = redis.pcall('GET', key)
  end
  if type(holder) == 'table' then
    votes[i + 1] = holder.err
  elseif holder == token then
    local left = redis.call('PTTL', key)
    if left < tonumber(ttl) then
      redis.call('PEXPIRE', key, ttl)
    end
    if numbered(fence) and redis.call('PTTL', fence) < tonumber(fencettl) then
      redis.call('PEXPIRE', fence, fencettl)
    end
    votes[i + 1] = left >= 0 and left or -3
  else
    votes[i + 1] = holder and -2 or -1
  end
end
return votes
