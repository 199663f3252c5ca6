#include "daemon/ssh/wire.hpp"

namespace shiftd {

void put_u32(std::string& out, std::size_t number) {
  for (int shift : {24, 16, 8, 0}) out += static_cast<char>(number >> shift);
}

void put_string(std::string& out, std::string_view text) {
  put_u32(out, text.size());
  out += text;
}

std::optional<std::uint32_t> take_u32(std::string_view& in) {
  if (in.size() < 4) return std::nullopt;
  std::uint32_t number = 0;
  for (int i = 0; i < 4; ++i) number = number << 8 | static_cast<unsigned char>(in[static_cast<std::size_t>(i)]);
  in.remove_prefix(4);
  return number;
}

std::optional<std::string> take_string(std::string_view& in) {
  auto length = take_u32(in);
  if (!length || *length > in.size()) return std::nullopt;
  std::string text(in.substr(0, *length));
  in.remove_prefix(*length);
  return text;
}

}  // namespace shiftd
