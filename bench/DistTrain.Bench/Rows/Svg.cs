using System.Globalization;

namespace DistTrain.Bench;

/// <summary>What the pictures have in common.</summary>
public static class Svg
{
    /// <summary>A whole picture on white, with a line above all.</summary>
    public static string Document(double width, double height, string head, string body) => Invariant($"""
        <svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="Helvetica, Arial, sans-serif" font-size="11" fill="#333">
        <rect width="{width}" height="{height}" fill="#fff"/>
        <text x="8" y="20" font-size="13">{head}</text>

        """) + body + "</svg>\n";

    /// <summary>Numbers as SVG wants them.</summary>
    public static string Invariant(FormattableString text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return text.ToString(CultureInfo.InvariantCulture);
    }
}
