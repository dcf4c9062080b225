using System.Globalization;
using CsCheck;

namespace DistTrain.Collectives.Tests;

public sealed class ClusterEnvironmentNodeListTests
{
    [Theory]
    [InlineData("login1", "login1")]
    [InlineData("n[1-3,7],gpu[08-10],login1", "n1 n2 n3 n7 gpu08 gpu09 gpu10 login1")]
    [InlineData("host[001-004,7]", "host001 host002 host003 host004 host7")]
    [InlineData("r[1-2]c[1-2]", "r1c1 r1c2 r2c1 r2c2")]
    [InlineData("a[1]-ib.dom,b", "a1-ib.dom b")]
    [InlineData("n[9-11]", "n9 n10 n11")]
    public void Compressed_host_lists_are_expanded_in_order_with_their_zeros(string text, string hosts) =>
        Assert.Equal(hosts.Split(' '), SlurmNodeList.Expand("LIST", text));

    [Theory]
    [InlineData("n[1-")]
    [InlineData("n1]")]
    [InlineData("n[[1]]")]
    [InlineData("n[3-1]")]
    [InlineData("n[]")]
    [InlineData("n[1-2-3]")]
    [InlineData("n[a]")]
    [InlineData(",n1")]
    [InlineData("n1,")]
    [InlineData("n 1")]
    [InlineData("n[0-99999]")]
    [InlineData("n[0-999]x[0-999]")]
    [InlineData("n[9999999999]")]
    public void Malformed_or_huge_host_lists_are_refused_by_name(string text) =>
        Assert.Equal("LIST", Assert.Throws<ClusterEnvironmentException>(() => SlurmNodeList.Expand("LIST", text)).Variable);

    [Theory]
    [InlineData("2(x2),1", new[] { 2, 2, 1 })]
    [InlineData("4", new[] { 4 })]
    [InlineData("1,2(x1)", new[] { 1, 2 })]
    public void Task_counts_are_expanded(string text, int[] counts) => Assert.Equal(counts, SlurmNodeList.ExpandCounts("COUNTS", text));

    [Theory]
    [InlineData("2(x")]
    [InlineData("2(x0)")]
    [InlineData("0")]
    [InlineData("2(y2)")]
    [InlineData("")]
    [InlineData("2(x999999999)")]
    public void Malformed_task_counts_are_refused(string text) => Assert.Throws<ClusterEnvironmentException>(() => SlurmNodeList.ExpandCounts("COUNTS", text));

    [Fact]
    public void Any_ranges_written_down_come_back_as_the_hosts_they_name() =>
        Gen.Select(Gen.Int[0, 990], Gen.Int[0, 9], Gen.Int[1, 5]).Array[1, 6].Sample(ranges =>
        {
            string text = "n[" + string.Join(',', ranges.Select(range => $"{Digits(range.Item1, range.Item3)}-{Digits(range.Item1 + range.Item2, range.Item3)}")) + "]";
            string[] expected = [.. ranges.SelectMany(range => Enumerable.Range(range.Item1, range.Item2 + 1).Select(number => "n" + Digits(number, range.Item3)))];
            Assert.Equal(expected, SlurmNodeList.Expand("LIST", text));
        });

    private static string Digits(int number, int width) => number.ToString(CultureInfo.InvariantCulture).PadLeft(width, '0');
}
