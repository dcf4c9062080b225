using System.Globalization;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary>Precision and recall by class, and what each class is most often taken for.</summary>
internal static class AccuracyTable
{
    public static void Write(TextWriter output, ConfusionMatrix confusion, IReadOnlyList<string> classNames)
    {
        int width = Math.Max("class".Length, classNames.Max(name => name.Length));
        output.WriteLine($"{"class".PadRight(width)}  samples  recall  precision  most often taken for");
        for (int label = 0; label < confusion.ClassCount; label++)
        {
            long count = Enumerable.Range(0, confusion.ClassCount).Sum(prediction => confusion[label, prediction]);
            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{classNames[label].PadRight(width)}  {count,7}  {confusion.Recall(label),6:P1}  {confusion.Precision(label),9:P1}  {Mistaken(confusion, classNames, label)}"));
        }
    }

    private static string Mistaken(ConfusionMatrix confusion, IReadOnlyList<string> classNames, int label)
    {
        int worst = Enumerable.Range(0, confusion.ClassCount).Where(prediction => prediction != label).MaxBy(prediction => confusion[label, prediction]);
        return confusion[label, worst] == 0 ? "-" : $"{classNames[worst]} ({confusion[label, worst]})";
    }
}
