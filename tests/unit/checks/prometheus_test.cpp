// What Prometheus answers, as its documentation and 2.42 itself say it.

#include <gtest/gtest.h>

#include "checks/metric_source.hpp"

namespace shiftd {
namespace {

std::string answer(const std::string& result) { return R"({"status":"success","data":{"resultType":"vector","result":[)" + result + "]}}"; }

TEST(Prometheus, GivesOneNumberForEachHost) {
  auto values = prometheus_values(answer(R"({"metric":{"instance":"web1:9100","job":"web"},"value":[1795404285.540,"1"]},)"
                                         R"({"metric":{"instance":"web2:9100"},"value":[1795404285.540,"2.5e3"]})"),
                                  "instance");
  ASSERT_TRUE(values) << values.error();
  EXPECT_EQ(*values, (std::map<std::string, double>{{"web1:9100", 1}, {"web2:9100", 2500}}));
}

TEST(Prometheus, LeavesOutWhatIsNoNumber) {
  auto values =
      prometheus_values(answer(R"({"metric":{"instance":"web1"},"value":[1,"NaN"]},{"metric":{"instance":"web2"},"value":[1,"+Inf"]},)"
                               R"({"metric":{"instance":"web3"},"value":[1,"12 apples"]},{"metric":{"instance":"web4"},"value":[1,7]})"),
                        "instance");
  ASSERT_TRUE(values) << values.error();
  EXPECT_TRUE(values->empty());
}

TEST(Prometheus, RefusesWhatCannotBeUnderstood) {
  struct {
    const char* name;
    std::string body;
    Errc code;
    const char* why;
  } const cases[] = {
      {"nothing", "", Errc::unexpected_reply, "no answer of its API"},
      {"a page", "<html>", Errc::unexpected_reply, "no answer of its API"},
      {"another answer", "{}", Errc::unexpected_reply, "no answer of its API"},
      {"a bad query", R"({"status":"error","errorType":"bad_data","error":"1:5: parse error"})", Errc::bad_input, "1:5: parse error"},
      {"an error without a reason", R"({"status":"error"})", Errc::bad_input, "no reason"},
      {"a scalar", R"({"status":"success","data":{"resultType":"scalar","result":[1,"2"]}})", Errc::bad_input, "one number for each host"},
      {"a vector that is none", R"({"status":"success","data":{"resultType":"vector","result":7}})", Errc::bad_input, "one number"},
      {"no data", R"({"status":"success"})", Errc::bad_input, "one number"},
      {"no label", answer(R"({"metric":{"job":"web"},"value":[1,"1"]})"), Errc::bad_input, "without the label 'instance'"},
      {"twice the same host", answer(R"({"metric":{"instance":"a"},"value":[1,"1"]},{"metric":{"instance":"a"},"value":[1,"2"]})"),
       Errc::bad_input, "several series for instance=a"},
      {"a series that is none", answer("7"), Errc::unexpected_reply, "not as its API says"},
  };
  for (const auto& [name, body, code, why] : cases) {
    SCOPED_TRACE(name);
    auto values = prometheus_values(body, "instance");
    ASSERT_FALSE(values);
    EXPECT_EQ(values.error().code, code);
    EXPECT_NE(values.error().what.find(why), std::string::npos) << values.error().what;
  }
}

}  // namespace
}  // namespace shiftd
