using ILGPU;
using ILGPU.Algorithms;

namespace DistTrain.Kernels;

/// <summary>
/// The running maximum m of some logits and Σ exp((x - m) / T), kept in one pass (Milakov and Gimelshein 2018, arXiv 1805.02867).
/// Before the first finite logit m is -infinity, and the sum counts masked classes: the first finite logit scales that to 0.
/// </summary>
internal readonly struct OnlineSum(float max, float sum)
{
    public float Max { get; } = max;

    public float Sum { get; } = sum;

    public static OnlineSum Empty => new(float.NegativeInfinity, 0f);

    /// <summary>With one logit more. NaN makes the sum NaN.</summary>
    public OnlineSum With(float x, float inverseTemperature) => x > Max
        ? new OnlineSum(x, (Sum * Scale(Max, x, inverseTemperature)) + 1f)
        : new OnlineSum(Max, Sum + Scale(x, Max, inverseTemperature));

    /// <summary>Of all threads of the team together; the sum is NaN for a row of +infinity or of nothing but -infinity.</summary>
    public OnlineSum OfTeam(ArrayView<float> shared, int teamSize, float inverseTemperature)
    {
        float rowMax = RowGroup.Max(shared, Max, teamSize);
        float sum = RowGroup.Sum(shared, Sum * Scale(Max, rowMax, inverseTemperature), teamSize);
        return new OnlineSum(rowMax, rowMax - rowMax == 0f ? sum : float.NaN);
    }

    private static float Scale(float x, float max, float inverseTemperature) => x == max ? 1f : XMath.Exp((x - max) * inverseTemperature);
}
