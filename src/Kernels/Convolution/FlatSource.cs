using System.Runtime.InteropServices;

namespace DistTrain.Kernels;

/// <summary>Copies the source rows that one band of one image and group reads into flat planes, zeros around them.</summary>
internal static unsafe class FlatSource
{
    /// <param name="plan">The layout.</param>
    /// <param name="flat">Receives <see cref="FlatPlan.SourceElementCount"/> floats.</param>
    /// <param name="channels">The group's first source plane of the image.</param>
    /// <param name="firstRow">The band's first lattice row.</param>
    public static void Fill<V>(in FlatPlan plan, float* flat, float* channels, int firstRow) where V : unmanaged, ISimd<V>
    {
        NativeMemory.Clear(flat, (nuint)plan.SourceElementCount * sizeof(float));
        int rows = plan.BandRows + plan.TapRows - 1;
        for (int c = 0; c < plan.SourceChannels; c++)
        {
            float* channel = channels + ((long)c * plan.SourceHeight * plan.SourceWidth);
            for (int phase = 0; phase < plan.PhaseRows * plan.PhaseColumns; phase++, flat += plan.PlaneStride)
                FillPlane<V>(plan, flat, channel, (firstRow * plan.StepHeight) + (phase / plan.PhaseColumns) - plan.PaddingTop, phase % plan.PhaseColumns, rows);
        }
    }

    /// <summary>One phase of one channel: every <see cref="FlatPlan.StepHeight"/>-th source row from <paramref name="sourceRow"/> on.</summary>
    private static void FillPlane<V>(in FlatPlan plan, float* flat, float* channel, int sourceRow, int phaseColumn, int rows)
        where V : unmanaged, ISimd<V>
    {
        int step = plan.StepWidth;
        // The first flat column that lies in the source, and the one after the last.
        int first = Math.Max(0, (plan.PaddingLeft - phaseColumn + step - 1) / step);
        int end = Math.Min(plan.Pitch, ((plan.SourceWidth + plan.PaddingLeft - phaseColumn - 1) / step) + 1);
        if (plan.SourceWidth + plan.PaddingLeft <= phaseColumn || end <= first) return;
        float* from = channel + (first * step) + phaseColumn - plan.PaddingLeft;
        for (int r = 0; r < rows; r++, sourceRow += plan.StepHeight)
        {
            if ((uint)sourceRow >= (uint)plan.SourceHeight) continue;
            float* to = flat + ((long)r * plan.Pitch) + first, row = from + ((long)sourceRow * plan.SourceWidth);
            if (step == 1) FlatRows.Write<V, IdentityOperator>(to, row, end - first);
            else FlatRows.Gather(to, row, end - first, step);
        }
    }
}
