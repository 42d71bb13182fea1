-- release many: delete each lock that is ours.
-- KEYS locks    ARGV their tokens
-- Replies for each lock: 1 deleted, 0 nothing there, -1 somebody else's, or the
-- error's text, so that one bad key does not keep the others from being released.
local votes = {}
for i, key in ipairs(KEYS) do
  -- No more of a value is read than a token can have, and one byte: it may be somebody else's, and huge.
  local holder = redis.pcall('GETRANGE', key, '0', '1024')
  if holder == '' or type(holder) == 'table' then -- nothing is there, or GETRANGE is not permitted
    holder = redis.pcall('GET', key)
  end
  if holder == ARGV[i] then
    votes[i] = redis.call('DEL', key)
  elseif type(holder) == 'table' then
    votes[i] = holder.err
  else
    votes[i] = holder and -1 or 0
  end
end
return votes
